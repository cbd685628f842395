/* Images of the bundled sample are stored as what a predictor leaves of them: deflate packs that to
 * 56 % instead of 92 %, and smaller than xz packs the images, which takes four times as long to
 * unpack. Lossless; data/make-sample.py is the other direction.
 *
 *   order: G is predicted by itself, then of R and B the difference to G is
 *   prediction: of left a, above b and above-left c the median of a, b and a + b - c (LOCO-I's,
 *     Weinberger et al. 2000); on the first row a, on the first column b, for the first pixel 0
 *   stored: (value - prediction) modulo 256, the value's prediction clamped to 0 … 255 */
#include "reader.h"

enum { SIDE = 32, PLANE = SIDE * SIDE };

static inline int median(int a, int b, int c)
{
    int low = a < b ? a : b, high = a < b ? b : a;
    c = c < high ? c : high;
    return c < low ? low : c;
}

/* In place: values before the current one are restored already. `base` is a plane of G, or of
 * zeros. */
static void restore_plane(uint8_t *v, const uint8_t *base)
{
    int above[SIDE] = {0}; /* differences of the row above, then of this one */
    for (int y = 0; y < SIDE; y++) {
        int left = above[0], corner = above[0]; /* on column 0 the prediction is the one above */
        for (int x = 0; x < SIDE; x++, v++, base++) {
            int up = y ? above[x] : left;
            int p = *base + median(left, up, left + up - corner);
            p = p < 0 ? 0 : p > 255 ? 255 : p;
            *v = (uint8_t)(*v + p);
            corner = y ? above[x] : *v - *base;
            left = above[x] = *v - *base;
        }
    }
}

void cln_residual_restore(uint8_t image[3 * PLANE])
{
    static const uint8_t zeros[PLANE];
    uint8_t *r = image, *g = image + PLANE, *b = image + 2 * PLANE;
    restore_plane(g, zeros);
    restore_plane(r, g);
    restore_plane(b, g);
}
