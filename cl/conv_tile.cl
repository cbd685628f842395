/* Convolution as a product of matrices that are never written: tiles in local memory, a work-group of GROUP items each.
 * For devices with many narrow lanes (GPUs); right on every one that has GROUP items and 6.5 KiB of local memory.
 *
 *     forward      y (pixels, Co)  = sum over k = (ky, kx, ci) of patch of x (pixels, k)  * w (k, Co)
 *     bwd_data     dx (pixels, Ci) = sum over k = (ky, kx, co) of patch of dy (pixels, k) * w turned over (k, Ci)
 *     bwd_params   dw (k, Co)      = sum over pixels of patch of x (pixels, k) transposed * dy (pixels, Co)
 *
 * with conv_simt.cl's formulas, layouts and partial sums. Pixels are those of all images, counted through.
 *
 * A group owns ROWS rows and COLS columns of the result and goes through the sum DEPTH terms at a time: its items fetch
 * a (DEPTH, ROWS) and b (DEPTH, COLS) together, wait, and each adds the products of its MINE rows and 4 columns, kept in
 * registers. Of each value fetched COLS or ROWS products are made, an item reads MINE + 4 values for MINE * 4 of them.
 *   - Items beside each other fetch terms, in bwd_params rows, beside each other: channels, the fastest axis of x and dy.
 *   - a's rows have one float more than ROWS: items that write one below another would all meet one bank.
 *   - What is fixed for an item while the sum goes on is worked out once: its term's tap and channel for a step, the place
 *     of a row's pixel, in bwd_params the tap and channel of its row. Pixels that follow each other are counted, not divided.
 * The order of a sum is that of k, or of pixels within a chunk: it depends on shapes alone.
 *
 * COLS   16 or 32 */

#ifndef COLS
#define COLS 32
#endif
#define GROUP 64
#define ROWS 64
#define DEPTH 16
#define QUADS (COLS / 4)          // of columns: items beside each other
#define MINE (ROWS * QUADS / GROUP) // rows of an item: these, GROUP / QUADS apart
#define ROW_STEP (GROUP / QUADS)
#define PITCH (ROWS + 1)

// The sums of an item: b's four columns from 4 * quad, a's rows row, row + ROW_STEP, ...
static inline __attribute__((always_inline)) void tile_add(local const float *a, local const float *b, int row, int quad,
                                                           float4 *acc)
{
    for (int k = 0; k < DEPTH; k++) {
        const float4 bk = vload4(quad, b + k * COLS);
#pragma unroll
        for (int i = 0; i < MINE; i++)
            acc[i] += a[k * PITCH + row + i * ROW_STEP] * bk;
    }
}

// Where the pixels of a group's rows are: image (-1: there is none) and first row and column of the patch.
static inline __attribute__((always_inline)) void place_rows(local int *in, local int *py, local int *px, int first,
                                                             int count, int h, int w, int stride, int shift)
{
    for (int r = get_local_id(0); r < ROWS; r += GROUP) {
        const int pixel = first + r;
        in[r] = pixel < count ? pixel / (h * w) : -1;
        py[r] = pixel / w % h * stride + shift;
        px[r] = pixel % w * stride + shift;
    }
}

// The columns from c of a row that has `columns`; 0 where there are none, which another item may be writing.
static inline __attribute__((always_inline)) float4 get(global const float *row, int c, int columns)
{
    float v[4];
    for (int i = 0; i < 4; i++)
        v[i] = c + i < columns ? row[c + i] : 0.0f;
    return (float4)(v[0], v[1], v[2], v[3]);
}

// Writes `four` to the columns from c of a row that has `columns`.
static inline __attribute__((always_inline)) void put(float4 four, global float *out, int c, int columns)
{
    const float v[4] = {four.x, four.y, four.z, four.w};
    for (int i = 0; i < 4 && c + i < columns; i++)
        out[c + i] = v[i];
}

kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
conv_fwd_tile(global const float *x, // (N, H, W, Ci)
              global const float *w, // (K, K, Ci, Co)
              global const float *b, // (Co) or NULL
              global float *y,       // (N, Ho, Wo, Co), at least lo
              int N, int H, int W, int Ci, int Ho, int Wo, int Co, int K, int S, int P, int bias, float lo)
{
    local float a_tile[DEPTH * PITCH], b_tile[DEPTH * COLS];
    local int in[ROWS], py[ROWS], px[ROWS];
    const int id = get_local_id(0), quad = id % QUADS, row = id / QUADS;
    const int first = get_group_id(0) * ROWS, c0 = get_group_id(1) * COLS, count = N * Ho * Wo, terms = K * K * Ci;
    float4 acc[MINE];
    for (int i = 0; i < MINE; i++)
        acc[i] = (float4)(0.0f);
    place_rows(in, py, px, first, count, Ho, Wo, S, -P);
    for (int k0 = 0; k0 < terms; k0 += DEPTH) {
        barrier(CLK_LOCAL_MEM_FENCE);
        const int term = k0 + id % DEPTH, ci = term % Ci, ky = term / Ci / K, kx = term / Ci % K;
        for (int r = id / DEPTH; r < ROWS; r += GROUP / DEPTH) {
            const int iy = py[r] + ky, ix = px[r] + kx;
            const bool is = term < terms && in[r] >= 0 && iy >= 0 && iy < H && ix >= 0 && ix < W;
            a_tile[id % DEPTH * PITCH + r] = is ? x[(((size_t)in[r] * H + iy) * W + ix) * Ci + ci] : 0.0f;
        }
        for (int i = id; i < DEPTH * COLS; i += GROUP) {
            const int k = k0 + i / COLS, c = c0 + i % COLS;
            b_tile[i] = k < terms && c < Co ? w[(size_t)k * Co + c] : 0.0f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        tile_add(a_tile, b_tile, row, quad, acc);
    }
    const int c = c0 + 4 * quad;
    float4 shift = (float4)(0.0f);
    if (bias)
        shift = get(b, c, Co);
    for (int i = 0; i < MINE; i++) {
        const int pixel = first + row + i * ROW_STEP;
        const float4 v = acc[i] + shift;
        if (pixel < count) // a NaN passes
            put(select(v, (float4)(lo), v < lo), y + (size_t)pixel * Co, c, Co);
    }
}

kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
conv_bwd_data_tile(global const float *dy, // (N, Ho, Wo, Co)
                   global const float *w,  // (K, K, Ci, Co)
                   global float *dx,       // (N, H, W, Ci)
                   int N, int H, int W, int Ci, int Ho, int Wo, int Co, int K, int S, int P, int accumulate)
{
    local float a_tile[DEPTH * PITCH], b_tile[DEPTH * COLS];
    local int in[ROWS], py[ROWS], px[ROWS];
    const int id = get_local_id(0), quad = id % QUADS, row = id / QUADS;
    const int first = get_group_id(0) * ROWS, c0 = get_group_id(1) * COLS, count = N * H * W, terms = K * K * Co;
    float4 acc[MINE];
    for (int i = 0; i < MINE; i++)
        acc[i] = (float4)(0.0f);
    place_rows(in, py, px, first, count, H, W, 1, P);
    for (int k0 = 0; k0 < terms; k0 += DEPTH) {
        barrier(CLK_LOCAL_MEM_FENCE);
        const int term = k0 + id % DEPTH, co = term % Co, tap = term / Co, ky = tap / K, kx = tap % K;
        for (int r = id / DEPTH; r < ROWS; r += GROUP / DEPTH) {
            const int sy = py[r] - ky, sx = px[r] - kx, oy = sy / S, ox = sx / S;
            const bool is = term < terms && in[r] >= 0 && sy >= 0 && sx >= 0 && oy * S == sy && ox * S == sx &&
                            oy < Ho && ox < Wo;
            a_tile[id % DEPTH * PITCH + r] = is ? dy[(((size_t)in[r] * Ho + oy) * Wo + ox) * Co + co] : 0.0f;
        }
        for (int c = id / DEPTH; c < COLS; c += GROUP / DEPTH)
            b_tile[id % DEPTH * COLS + c] =
                term < terms && c0 + c < Ci ? w[((size_t)tap * Ci + c0 + c) * Co + co] : 0.0f;
        barrier(CLK_LOCAL_MEM_FENCE);
        tile_add(a_tile, b_tile, row, quad, acc);
    }
    const int c = c0 + 4 * quad;
    for (int i = 0; i < MINE; i++) {
        const int pixel = first + row + i * ROW_STEP;
        if (pixel >= count)
            continue;
        global float *out = dx + (size_t)pixel * Ci;
        float4 before = (float4)(0.0f);
        if (accumulate)
            before = get(out, c, Ci);
        put(before + acc[i], out, c, Ci);
    }
}

/* Rows are patches' terms (ky, kx, ci). id 0: tiles of rows, id 1: of columns, id 2: chunks of `images` images. The first
 * tile of rows also sums dy for the bias. */
kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
conv_bwd_params_tile(global const float *x,  // (N, H, W, Ci)
                     global const float *dy, // (N, Ho, Wo, Co)
                     global float *partial,  // (chunks, K*K*Ci*Co [+ Co])
                     int N, int H, int W, int Ci, int Ho, int Wo, int Co, int K, int S, int P, int bias, int images)
{
    local float a_tile[DEPTH * PITCH], b_tile[DEPTH * COLS];
    const int id = get_local_id(0), quad = id % QUADS, row = id / QUADS;
    const int first = get_group_id(0) * ROWS, c0 = get_group_id(1) * COLS, chunk = get_group_id(2);
    const int terms = K * K * Ci, pixels = (min((chunk + 1) * images, N) - chunk * images) * Ho * Wo;
    const int term = first + id, ci = term % Ci, ky = term / Ci / K, kx = term / Ci % K; // of the row that it fetches
    global const float *d = dy + (size_t)chunk * images * Ho * Wo * Co;
    float4 acc[MINE];
    float of_bias = 0.0f;
    for (int i = 0; i < MINE; i++)
        acc[i] = (float4)(0.0f);
    int n = chunk * images, oy = 0, ox = 0;
    for (int p0 = 0; p0 < pixels; p0 += DEPTH) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int k = 0; k < DEPTH; k++) {
            const int iy = oy * S + ky - P, ix = ox * S + kx - P;
            const bool is = p0 + k < pixels && term < terms && iy >= 0 && iy < H && ix >= 0 && ix < W;
            a_tile[k * PITCH + id] = is ? x[(((size_t)n * H + iy) * W + ix) * Ci + ci] : 0.0f;
            if (++ox == Wo) {
                ox = 0;
                if (++oy == Ho) {
                    oy = 0;
                    n++;
                }
            }
        }
        for (int i = id; i < DEPTH * COLS; i += GROUP) {
            const int p = p0 + i / COLS, c = c0 + i % COLS;
            b_tile[i] = p < pixels && c < Co ? d[(size_t)p * Co + c] : 0.0f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        tile_add(a_tile, b_tile, row, quad, acc);
        if (bias && first == 0 && id < COLS)
            for (int k = 0; k < DEPTH; k++)
                of_bias += b_tile[k * COLS + id];
    }
    global float *out = partial + (size_t)chunk * (terms * Co + (bias ? Co : 0));
    for (int i = 0; i < MINE; i++) {
        const int r = first + row + i * ROW_STEP;
        if (r < terms)
            put(acc[i], out + (size_t)r * Co, c0 + 4 * quad, Co);
    }
    if (bias && first == 0 && id < COLS && c0 + id < Co)
        out[(size_t)terms * Co + c0 + id] = of_bias;
}
