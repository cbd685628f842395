/* Gathers, augments and normalises a batch from the data set, which lives on the device as bytes.
 *
 *     x[n, y, x, c] = (byte[order[base + n], c, sy, sx] / 255 - mean[c]) / std[c]
 *
 * (sy, sx) is (y, x) moved by up to `shift` pixels (reflected at the edges) and then mirrored. The random
 * numbers are counter-based: keyed by seed, counted by image and epoch, so they depend on nothing else.
 * flip: 0 never, 1 at random, 2 alternating: an image is seen mirrored every other epoch (Jordan 2024), 3 always.
 * One item owns one row of one image. The data set may be spread over several buffers: a launch serves the
 * images [low, high) that its buffer holds. */

static int reflect(int p, int size)
{
    p = p < 0 ? -p : p;
    return p >= size ? 2 * size - 2 - p : p;
}

kernel void feed_gather(global const uchar *images,  // (high - low, C, H, W)
                        global const uchar *labels,  // (all images)
                        global const int *order,     // (all images) a permutation
                        global float *x,             // (N, H, W, C)
                        global int *y,               // (N)
                        int low, int high, int base, int N, int C, int H, int W,
                        global const float *norm,    // mean[4], 1 / std[4]
                        uint seed, uint epoch, int flip, int shift)
{
    const int row = get_global_id(0), n = get_global_id(1);
    if (n >= N || row >= H)
        return;
    const int image = order[base + n];
    if (image < low || image >= high)
        return;
    const cln_philox r = cln_philox4x32(image, epoch, 0, CLN_STREAM_AUGMENT, seed, 0);
    const cln_philox fixed = cln_philox4x32(image, 0, 1, CLN_STREAM_AUGMENT, seed, 0);
    const int mirror = flip == 1   ? (int)(r.v[0] >> 31)
                       : flip == 2 ? (int)((fixed.v[0] >> 31) ^ (epoch & 1))
                                   : flip == 3;
    const int dx = shift ? (int)cln_random_below(r.v[1], 2 * shift + 1) - shift : 0;
    const int dy = shift ? (int)cln_random_below(r.v[2], 2 * shift + 1) - shift : 0;
    const int sy = reflect(row + dy, H);
    global float *out = x + ((size_t)n * H + row) * W * C;
    for (int c = 0; c < C; c++) {
        global const uchar *in = images + (((size_t)(image - low) * C + c) * H + sy) * W;
        const float m = norm[c], s = norm[4 + c];
        for (int i = 0; i < W; i++) {
            const int sx = reflect((mirror ? W - 1 - i : i) + dx, W);
            out[i * C + c] = (in[sx] * (1.0f / 255.0f) - m) * s;
        }
    }
    if (row == 0)
        y[n] = labels[image];
}
