"""Which pixels of the input an element of a map can depend on, read off the graph that autograd records.

Along each axis of the image, a `Reach` says from which pixel to which a position of the map sees, as if neither had
edges: padding counts as image, and the holes between the taps of a dilated filter count as seen. An `Axis` also says
which axis of the tensor runs along that axis of the image. Every op has a rule that says what becomes of the tensor's
axes; an op without a rule makes the field unknown, never wrong.

Source: Araujo, Norris and Sim, Computing receptive fields of convolutional neural networks, Distill 2019; with a
table over a period in the place of one start and one size, so that transposed convolutions come out exactly.
"""

from .fields import Fields

__all__ = ["Fields"]
