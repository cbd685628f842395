/* Gathers, augments and normalises a batch from the data set, which lives on the device as bytes.
 *
 *     x[n, y, x, c] = (byte[order[base + n], c, sy, sx] / 255 - mean[c]) / std[c]
 *
 * (sy, sx) is (y, x) moved by up to `shift` pixels (reflected at the edges) and then mirrored. The random
 * numbers are counter-based: keyed by seed, counted by image and epoch, so they depend on nothing else.
 * flip: 0 never, 1 at random, 2 alternating: an image is seen mirrored every other epoch (Jordan 2024), 3 always.
 * One item owns `rows` rows of one image. The data set may be spread over several buffers: a launch serves the
 * images [low, high) that its buffer holds. */

static int reflect(int p, int size)
{
    p = p < 0 ? -p : p;
    return p >= size ? 2 * size - 2 - p : p;
}

/* The row `from` of an image's planes, to a row of x; mirrored and moved by dx. */
APART void gather_row(global const uchar *from, global float *x, int plane, int C, int W, int mirror, int dx, float4 mean,
                      float4 scale)
{
    const float unit = 1.0f / 255.0f;
    for (int i = 0; i < W; i++, x += C) {
        global const uchar *p = from + reflect((mirror ? W - 1 - i : i) + dx, W);
        x[0] = (p[0] * unit - mean.x) * scale.x;
        if (C > 1)
            x[1] = (p[plane] * unit - mean.y) * scale.y;
        if (C > 2)
            x[2] = (p[2 * plane] * unit - mean.z) * scale.z;
        if (C > 3)
            x[3] = (p[3 * plane] * unit - mean.w) * scale.w;
    }
}

kernel void feed_gather(global const uchar *images,  // (high - low, C, H, W)
                        global const uchar *labels,  // (all images)
                        global const int *order,     // (all images) a permutation
                        global float *x,             // (N, H, W, C)
                        global int *y,               // (N)
                        int low, int high, int base, int N, int C, int H, int W, int rows,
                        global const float *norm,    // mean[4], 1 / std[4]
                        uint seed, uint epoch, int flip, int shift)
{
    const int first = get_global_id(0) * rows, n = get_global_id(1);
    if (n >= N || first >= H)
        return;
    const int image = order[base + n];
    if (image < low || image >= high)
        return;
    int mirror = flip == 3, dx = 0, dy = 0;
    if (flip == 1 || shift) {
        const cln_philox r = cln_philox4x32(image, epoch, 0, CLN_STREAM_AUGMENT, seed, 0);
        mirror |= flip == 1 && r.v[0] >> 31;
        dx = shift ? (int)cln_random_below(r.v[1], 2 * shift + 1) - shift : 0;
        dy = shift ? (int)cln_random_below(r.v[2], 2 * shift + 1) - shift : 0;
    }
    if (flip == 2)
        mirror = (cln_philox4x32(image, 0, 1, CLN_STREAM_AUGMENT, seed, 0).v[0] >> 31) ^ (epoch & 1);
    const float4 mean = vload4(0, norm), scale = vload4(1, norm);
    global const uchar *planes = images + (size_t)(image - low) * C * H * W;
    for (int row = first; row < min(first + rows, H); row++)
        gather_row(planes + reflect(row + dy, H) * W, x + ((size_t)n * H + row) * W * C, H * W, C, W, mirror, dx, mean,
                   scale);
    if (first == 0)
        y[n] = labels[image];
}

/* Cutout (DeVries & Taylor 2017): a square of `side` pixels around a random one becomes 0, the channels' mean; what lies
 * outside the image is lost. One item an image. */
kernel void feed_cutout(global const int *order, global float *x, // (N, H, W, C)
                        int base, int N, int H, int W, int C, uint seed, uint epoch, int side)
{
    const int n = get_global_id(0);
    if (n >= N)
        return;
    const cln_philox r = cln_philox4x32(order[base + n], epoch, 2, CLN_STREAM_AUGMENT, seed, 0);
    const int y0 = (int)cln_random_below(r.v[0], H) - side / 2, x0 = (int)cln_random_below(r.v[1], W) - side / 2;
    for (int row = max(y0, 0); row < min(y0 + side, H); row++)
        for (int i = max(x0, 0) * C; i < min(x0 + side, W) * C; i++)
            x[((size_t)n * H + row) * W * C + i] = 0.0f;
}

/* Mixup (Zhang, Cisse, Dauphin & Lopez-Paz 2018): x = weight x + (1 - weight) other. One item `chunk` values. */
kernel void feed_mix(global float *x, global const float *other, int count, int chunk, float weight)
{
    const int first = get_global_id(0) * chunk, last = min(first + chunk, count);
    for (int i = first; i < last; i++)
        x[i] = weight * x[i] + (1.0f - weight) * other[i];
}
