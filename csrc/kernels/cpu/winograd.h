// Winograd's minimal filtering (Winograd 1980; for networks Lavin and Gray 2015, arXiv:1509.09308): M outputs of a
// 3-tap filter from M + 2 multiplications instead of 3 M, and M x M outputs of a 3x3 filter from (M + 2)^2 of 9 M^2.
//
//   y = A^T [ (G g) * (B^T d) ]           d: M + 2 inputs, g: 3 weights, y: M outputs, * element by element
//
// It evaluates the polynomials of g and d at S = M + 2 points, multiplies the values, and interpolates. The rows of
// B^T, G and A^T below are those of the points named, infinity last. Read backwards the same matrices give the gradient
// of the weights from M outputs' gradients e:   grad_g = G^T [ (A e) * (B^T d) ].
#pragma once
#include "core/simd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// F(2, 3): points 0, 1, -1. Exact factors: as accurate as the direct sum.
template <typename T>
struct Winograd2 {
  static constexpr int M = 2, S = 4;

  template <typename V>
  static void input(const V (&d)[S], V (&v)[S]) {  // B^T d
    v[0] = d[0] - d[2];
    v[1] = d[2] + d[1];
    v[2] = d[2] - d[1];
    v[3] = d[3] - d[1];
  }
  template <typename V>
  static void weight(const V (&g)[3], V (&u)[S]) {  // G g
    const V even = T(0.5) * (g[0] + g[2]), odd = T(0.5) * g[1];
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = g[2];
  }
  template <typename V>
  static void output(const V (&p)[S], V (&y)[M]) {  // A^T p
    y[0] = p[0] + p[1] + p[2];
    y[1] = p[1] - p[2] + p[3];
  }
  template <typename V>
  static void grad_output(const V (&e)[M], V (&z)[S]) {  // A e
    z[0] = e[0];
    z[1] = e[0] + e[1];
    z[2] = e[0] - e[1];
    z[3] = e[1];
  }
  template <typename V>
  static void grad_weight(const V (&p)[S], V (&g)[3]) {  // G^T p
    const V even = T(0.5) * (p[1] + p[2]);
    g[0] = p[0] + even;
    g[1] = T(0.5) * (p[1] - p[2]);
    g[2] = even + p[3];
  }
};

// F(4, 3): points 0, a, -a, b, -b with a = sqrt(1/2), b = sqrt(2), which lose a fifth of the digits that the textbook's
// 1, -1, 2, -2 lose (docs/convolution.md has the measurement). a^2 = 1/2, b^2 = 2 and a b = 1 keep the factors simple.
template <typename T>
struct Winograd4 {
  static constexpr int M = 4, S = 6;
  static constexpr T a = T(0.70710678118654752440L), b = T(1.41421356237309504880L);

  template <typename V>
  static void input(const V (&d)[S], V (&v)[S]) {
    const V even_a = d[4] - T(2) * d[2], odd_a = a * (d[3] - T(2) * d[1]);
    const V even_b = d[4] - T(0.5) * d[2], odd_b = b * (d[3] - T(0.5) * d[1]);
    v[0] = d[0] - T(2.5) * d[2] + d[4];
    v[1] = even_a + odd_a;
    v[2] = even_a - odd_a;
    v[3] = even_b + odd_b;
    v[4] = even_b - odd_b;
    v[5] = d[1] - T(2.5) * d[3] + d[5];
  }
  template <typename V>
  static void weight(const V (&g)[3], V (&u)[S]) {
    const V even_a = T(-2.0L / 3) * (g[0] + T(0.5) * g[2]), odd_a = T(-2.0L / 3) * a * g[1];
    const V even_b = T(1.0L / 6) * (g[0] + T(2) * g[2]), odd_b = T(1.0L / 6) * b * g[1];
    u[0] = g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
  }
  template <typename V>
  static void output(const V (&p)[S], V (&y)[M]) {
    const V sum_a = p[1] + p[2], sum_b = p[3] + p[4], odd_a = a * (p[1] - p[2]), odd_b = b * (p[3] - p[4]);
    y[0] = p[0] + sum_a + sum_b;
    y[1] = odd_a + odd_b;
    y[2] = T(0.5) * sum_a + T(2) * sum_b;
    y[3] = T(0.5) * odd_a + T(2) * odd_b + p[5];
  }
  template <typename V>
  static void grad_output(const V (&e)[M], V (&z)[S]) {
    const V even_a = e[0] + T(0.5) * e[2], odd_a = a * (e[1] + T(0.5) * e[3]);
    const V even_b = e[0] + T(2) * e[2], odd_b = b * (e[1] + T(2) * e[3]);
    z[0] = e[0];
    z[1] = even_a + odd_a;
    z[2] = even_a - odd_a;
    z[3] = even_b + odd_b;
    z[4] = even_b - odd_b;
    z[5] = e[3];
  }
  template <typename V>
  static void grad_weight(const V (&p)[S], V (&g)[3]) {
    const V sum_a = T(-2.0L / 3) * (p[1] + p[2]), sum_b = T(1.0L / 6) * (p[3] + p[4]);
    g[0] = p[0] + sum_a + sum_b;
    g[1] = T(-2.0L / 3) * a * (p[1] - p[2]) + T(1.0L / 6) * b * (p[3] - p[4]);
    g[2] = T(0.5) * sum_a + T(2) * sum_b + p[5];
  }
};

// A 1-D transform of IN to OUT numbers along the columns and then the rows of a square: load(i, j) gives what goes in,
// store(i, j, v) takes what comes out.
template <typename V, int IN, int OUT, typename Transform, typename Load, typename Store>
inline void transform_square(Transform&& transform, Load&& load, Store&& store) {
  V half[OUT][IN];
  for (int j = 0; j < IN; ++j) {
    V in[IN], out[OUT];
    for (int i = 0; i < IN; ++i) in[i] = load(i, j);
    transform(in, out);
    for (int i = 0; i < OUT; ++i) half[i][j] = out[i];
  }
  for (int i = 0; i < OUT; ++i) {
    V out[OUT];
    transform(half[i], out);
    for (int j = 0; j < OUT; ++j) store(i, j, out[j]);
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
