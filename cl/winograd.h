// Winograd's transforms for 3x3 convolutions of stride 1, one way; the other way is the same again.
//
// An output tile of M x M pixels comes from an input patch of S x S, S = M + 2, by S*S multiplications for each pair
// of channels in place of 9 M*M (Winograd 1980; Lavin & Gray 2016):
//
//   y = A' [ (G w G') . (B' d B) ] A             d: the patch; summed over the input channels before A
//   dw = G' [ (B' d B) . (A dy A') ] G           its adjoint; summed over all tiles before G
//
// and dx is the forward pass of dy with flipped weights. For M = 4 the six points at which the polynomials are taken
// are 0, +-2/3, +-3/2 and infinity: with p q = 1 a transform of six values costs 12 operations, and the error is a
// third of that of 0, +-1, +-2 (1.2e-6 of the largest output against 3.9e-6). M = 2: 0, +-1, infinity.
//
// M   output pixels of a tile, each way: 2 or 4.
#ifndef M
#define M 4
#endif
#define S (M + 2)

#define EACH_POINT(i) _Pragma("unroll") for (int i = 0; i < S; i++)
#define EACH_TAP(i) _Pragma("unroll") for (int i = 0; i < 3; i++)
#define EACH_PIXEL(i) _Pragma("unroll") for (int i = 0; i < M; i++)

#if M == 2
INLINE void to_points(const vec d[S], vec t[S]) // B' d
{
    t[0] = d[0] - d[2];
    t[1] = d[2] + d[1];
    t[2] = d[2] - d[1];
    t[3] = d[3] - d[1];
}
INLINE void from_points(const vec m[S], vec y[M]) // A' m
{
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = (m[1] - m[2]) + m[3];
}
INLINE void gradient_to_points(const vec y[M], vec e[S]) // A y
{
    e[0] = y[0];
    e[1] = y[0] + y[1];
    e[2] = y[0] - y[1];
    e[3] = y[1];
}
INLINE void weights_to_points(const vec w[3], vec u[S]) // G w
{
    const vec even = (w[0] + w[2]) * 0.5f, odd = w[1] * 0.5f;
    u[0] = w[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = w[2];
}
INLINE void weights_from_points(const vec u[S], vec w[3]) // G' u
{
    const vec even = (u[1] + u[2]) * 0.5f;
    w[0] = u[0] + even;
    w[1] = (u[1] - u[2]) * 0.5f;
    w[2] = even + u[3];
}
#elif M == 4
#define PP (4.0f / 9.0f) // the squares of the points p = 2/3 and q = 3/2
#define QQ (9.0f / 4.0f)
#define P1 (2.0f / 3.0f)
#define Q1 (3.0f / 2.0f)
#define GP (1.0f / (2.0f * PP * (PP - QQ))) // 1 / prod (p - other finite points)
#define GQ (1.0f / (2.0f * QQ * (QQ - PP)))
INLINE void to_points(const vec d[S], vec t[S])
{
    const vec pe = d[4] - QQ * d[2], po = d[3] - QQ * d[1];
    const vec qe = d[4] - PP * d[2], qo = d[3] - PP * d[1];
    t[0] = (d[0] + d[4]) - (PP + QQ) * d[2];
    t[1] = pe + P1 * po;
    t[2] = pe - P1 * po;
    t[3] = qe + Q1 * qo;
    t[4] = qe - Q1 * qo;
    t[5] = (d[1] + d[5]) - (PP + QQ) * d[3];
}
INLINE void from_points(const vec m[S], vec y[M])
{
    const vec pe = m[1] + m[2], po = m[1] - m[2], qe = m[3] + m[4], qo = m[3] - m[4];
    y[0] = m[0] + (pe + qe);
    y[1] = P1 * po + Q1 * qo;
    y[2] = PP * pe + QQ * qe;
    y[3] = (PP * P1) * po + ((QQ * Q1) * qo + m[5]);
}
INLINE void gradient_to_points(const vec y[M], vec e[S])
{
    const vec pe = y[0] + PP * y[2], po = y[1] + PP * y[3];
    const vec qe = y[0] + QQ * y[2], qo = y[1] + QQ * y[3];
    e[0] = y[0];
    e[1] = pe + P1 * po;
    e[2] = pe - P1 * po;
    e[3] = qe + Q1 * qo;
    e[4] = qe - Q1 * qo;
    e[5] = y[3];
}
INLINE void weights_to_points(const vec w[3], vec u[S])
{
    const vec pe = GP * w[0] + (GP * PP) * w[2], po = (GP * P1) * w[1];
    const vec qe = GQ * w[0] + (GQ * QQ) * w[2], qo = (GQ * Q1) * w[1];
    u[0] = w[0];
    u[1] = pe + po;
    u[2] = pe - po;
    u[3] = qe + qo;
    u[4] = qe - qo;
    u[5] = w[2];
}
INLINE void weights_from_points(const vec u[S], vec w[3])
{
    const vec pe = GP * (u[1] + u[2]), po = GP * (u[1] - u[2]);
    const vec qe = GQ * (u[3] + u[4]), qo = GQ * (u[3] - u[4]);
    w[0] = u[0] + (pe + qe);
    w[1] = P1 * po + Q1 * qo;
    w[2] = PP * pe + (QQ * qe + u[5]);
}
#else
#error "M must be 2 or 4"
#endif
