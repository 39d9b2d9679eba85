"""A convolution as one writes it first, with a loop for every index. Check it: atrous verify --kernels my_conv.py"""

import numpy as np


def conv2d_forward(x, weight, bias, stride, padding, dilation, groups):
    """Convolves x (N, IC, IH, IW) with weight (OC, IC/G, KH, KW) into y (N, OC, OH, OW)."""
    N, _, IH, IW = x.shape
    OC, ICG, KH, KW = weight.shape
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    OH = (IH + 2 * ph - dh * (KH - 1) - 1) // sh + 1
    OW = (IW + 2 * pw - dw * (KW - 1) - 1) // sw + 1
    y = np.zeros((N, OC, OH, OW), x.dtype)
    for n, oc, oh, ow in np.ndindex(N, OC, OH, OW):
        g = oc // (OC // groups)  # the group of this output channel, which sees ICG of the IC input channels
        total = 0.0 if bias is None else bias[oc]
        for ic, kh, kw in np.ndindex(ICG, KH, KW):
            ih = oh * sh - ph + kh * dh
            iw = ow * sw - pw + kw * dw
            if 0 <= ih < IH and 0 <= iw < IW:  # outside is the padding, which is zero
                total += weight[oc, ic, kh, kw] * x[n, g * ICG + ic, ih, iw]
        y[n, oc, oh, ow] = total
    return y
