/* Convolution as a product of matrices that are never written: tiles in local memory, a work-group of GROUP items each.
 * For devices with many narrow lanes (GPUs); right on every one that has GROUP items and 7 KiB of local memory.
 *
 *     forward      y (pixels, Co)  = sum over k = (ky, kx, ci) of patch of x (pixels, k)  * w (k, Co)
 *     bwd_data     dx (pixels, Ci) = sum over k = (ky, kx, co) of patch of dy (pixels, k) * w turned over (k, Ci)
 *     bwd_params   dw (k, Co)      = sum over pixels of patch of x (pixels, k) transposed * dy (pixels, Co)
 *
 * with conv_simt.cl's formulas, layouts and partial sums. Pixels are those of all images, counted through.
 *
 * A group owns ROWS rows and COLS columns of the result and goes through the sum DEPTH terms at a time: its items fetch
 * a (DEPTH, ROWS) and b (DEPTH, COLS) together, wait, and each adds the products of its MINE rows and 4 columns, kept in
 * registers. Of each value fetched COLS or ROWS products are made.
 *   - Items beside each other fetch terms, in bwd_params rows, beside each other: channels, the fastest axis of x and dy.
 *   - An item fetches the terms of the next step into registers, all at once, before it adds the products of this one: what
 *     is far away comes while it multiplies. With a load and a store in turn each load waited for the one before.
 *   - Local memory is read by fours: three reads for 32 products, two for 16 where COLS is 16. a's rows have four floats
 *     more than ROWS: items that write one below another would all meet one bank.
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
#define MINE (ROWS * QUADS / GROUP) // rows of an item, in fours that are 4 * GROUP / QUADS apart
#define PITCH (ROWS + 4)
#define ROW_OF(i) (4 * row + (i) % 4 + (i) / 4 * (4 * GROUP / QUADS))
#define FETCHED_A (DEPTH * ROWS / GROUP) // values of a and b that an item fetches for a step
#define FETCHED_B (DEPTH * COLS / GROUP)

// The sums of an item: b's four columns from 4 * across, a's rows ROW_OF(0), ROW_OF(1), ...
static inline __attribute__((always_inline)) void tile_add(local const float4 *a, local const float4 *b, int row, int across,
                                                           float4 *acc)
{
    for (int k = 0; k < DEPTH; k++) {
        const float4 bk = b[k * QUADS + across];
#pragma unroll
        for (int i = 0; i < MINE; i += 4) {
            const float4 ak = a[k * (PITCH / 4) + ROW_OF(i) / 4];
            acc[i] += ak.x * bk;
            acc[i + 1] += ak.y * bk;
            acc[i + 2] += ak.z * bk;
            acc[i + 3] += ak.w * bk;
        }
    }
}

// What an item fetched, into the tiles: of a a term of every row (GROUP / DEPTH) apart, of b a term's columns beside each
// other or a column's terms.
static inline __attribute__((always_inline)) void keep_a(local float *a, const float *fetched, int id)
{
#pragma unroll
    for (int i = 0; i < FETCHED_A; i++)
        a[id % DEPTH * PITCH + id / DEPTH + i * (GROUP / DEPTH)] = fetched[i];
}

static inline __attribute__((always_inline)) void keep_rows_of_b(local float *b, const float *fetched, int id)
{
#pragma unroll
    for (int i = 0; i < FETCHED_B; i++)
        b[id + i * GROUP] = fetched[i];
}

static inline __attribute__((always_inline)) void keep_columns_of_b(local float *b, const float *fetched, int id)
{
#pragma unroll
    for (int i = 0; i < FETCHED_B; i++)
        b[id % DEPTH * COLS + id / DEPTH + i * (GROUP / DEPTH)] = fetched[i];
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
    local float4 a_fours[DEPTH * PITCH / 4], b_fours[DEPTH * COLS / 4];
    local float *a_tile = (local float *)a_fours, *b_tile = (local float *)b_fours;
    local int in[ROWS], py[ROWS], px[ROWS];
    const int id = get_local_id(0), across = id % QUADS, row = id / QUADS;
    const int first = get_group_id(0) * ROWS, c0 = get_group_id(1) * COLS, count = N * Ho * Wo, terms = K * K * Ci;
    float4 acc[MINE];
    for (int i = 0; i < MINE; i++)
        acc[i] = (float4)(0.0f);
    place_rows(in, py, px, first, count, Ho, Wo, S, -P);
    barrier(CLK_LOCAL_MEM_FENCE);
    float fa[FETCHED_A], fb[FETCHED_B];
    for (int k0 = -DEPTH; k0 < terms; k0 += DEPTH) {
        if (k0 >= 0) {
            barrier(CLK_LOCAL_MEM_FENCE);
            keep_a(a_tile, fa, id);
            keep_rows_of_b(b_tile, fb, id);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        const int k1 = k0 + DEPTH, term = k1 + id % DEPTH, ci = term % Ci, ky = term / Ci / K, kx = term / Ci % K;
#pragma unroll
        for (int i = 0; i < FETCHED_A; i++) {
            const int r = id / DEPTH + i * (GROUP / DEPTH), iy = py[r] + ky, ix = px[r] + kx;
            const bool is = term < terms && in[r] >= 0 && iy >= 0 && iy < H && ix >= 0 && ix < W;
            fa[i] = is ? x[(((size_t)in[r] * H + iy) * W + ix) * Ci + ci] : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < FETCHED_B; i++) {
            const int k = k1 + (id + i * GROUP) / COLS, c = c0 + (id + i * GROUP) % COLS;
            fb[i] = k < terms && c < Co ? w[(size_t)k * Co + c] : 0.0f;
        }
        if (k0 >= 0)
            tile_add(a_fours, b_fours, row, across, acc);
    }
    const int c = c0 + 4 * across;
    float4 shift = (float4)(0.0f);
    if (bias)
        shift = get(b, c, Co);
    for (int i = 0; i < MINE; i++) {
        const int pixel = first + ROW_OF(i);
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
    local float4 a_fours[DEPTH * PITCH / 4], b_fours[DEPTH * COLS / 4];
    local float *a_tile = (local float *)a_fours, *b_tile = (local float *)b_fours;
    local int in[ROWS], py[ROWS], px[ROWS];
    const int id = get_local_id(0), across = id % QUADS, row = id / QUADS;
    const int first = get_group_id(0) * ROWS, c0 = get_group_id(1) * COLS, count = N * H * W, terms = K * K * Co;
    float4 acc[MINE];
    for (int i = 0; i < MINE; i++)
        acc[i] = (float4)(0.0f);
    place_rows(in, py, px, first, count, H, W, 1, P);
    barrier(CLK_LOCAL_MEM_FENCE);
    float fa[FETCHED_A], fb[FETCHED_B];
    for (int k0 = -DEPTH; k0 < terms; k0 += DEPTH) {
        if (k0 >= 0) {
            barrier(CLK_LOCAL_MEM_FENCE);
            keep_a(a_tile, fa, id);
            keep_columns_of_b(b_tile, fb, id);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        const int term = k0 + DEPTH + id % DEPTH, co = term % Co, tap = term / Co, ky = tap / K, kx = tap % K;
#pragma unroll
        for (int i = 0; i < FETCHED_A; i++) {
            const int r = id / DEPTH + i * (GROUP / DEPTH);
            const int sy = py[r] - ky, sx = px[r] - kx;
            const int oy = S == 1 ? sy : sy / S, ox = S == 1 ? sx : sx / S; // a division costs as much as the rest
            const bool is = term < terms && in[r] >= 0 && sy >= 0 && sx >= 0 && oy * S == sy && ox * S == sx &&
                            oy < Ho && ox < Wo;
            fa[i] = is ? dy[(((size_t)in[r] * Ho + oy) * Wo + ox) * Co + co] : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < FETCHED_B; i++) {
            const int c = id / DEPTH + i * (GROUP / DEPTH);
            fb[i] = term < terms && c0 + c < Ci ? w[((size_t)tap * Ci + c0 + c) * Co + co] : 0.0f;
        }
        if (k0 >= 0)
            tile_add(a_fours, b_fours, row, across, acc);
    }
    const int c = c0 + 4 * across;
    for (int i = 0; i < MINE; i++) {
        const int pixel = first + ROW_OF(i);
        if (pixel >= count)
            continue;
        global float *out = dx + (size_t)pixel * Ci;
        float4 before = (float4)(0.0f);
        if (accumulate)
            before = get(out, c, Ci);
        put(before + acc[i], out, c, Ci);
    }
}

/* Rows are patches' terms (ky, kx, ci). id 0: tiles of rows, id 1: of columns, id 2: chunks of `lines` rows of outputs,
 * counted through all images. The first tile of rows also sums dy for the bias. */
kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
conv_bwd_params_tile(global const float *x,  // (N, H, W, Ci)
                     global const float *dy, // (N, Ho, Wo, Co)
                     global float *partial,  // (chunks, K*K*Ci*Co [+ Co])
                     int N, int H, int W, int Ci, int Ho, int Wo, int Co, int K, int S, int P, int bias, int lines)
{
    local float4 a_fours[DEPTH * PITCH / 4], b_fours[DEPTH * COLS / 4];
    local float *a_tile = (local float *)a_fours, *b_tile = (local float *)b_fours;
    const int id = get_local_id(0), across = id % QUADS, row = id / QUADS;
    const int first = get_group_id(0) * ROWS, c0 = get_group_id(1) * COLS, chunk = get_group_id(2);
    const int terms = K * K * Ci, pixels = (min((chunk + 1) * lines, N * Ho) - chunk * lines) * Wo;
    const int term = first + id, ci = term % Ci, ky = term / Ci / K, kx = term / Ci % K; // of the row that it fetches
    global const float *d = dy + (size_t)chunk * lines * Wo * Co;
    float4 acc[MINE];
    float of_bias = 0.0f;
    for (int i = 0; i < MINE; i++)
        acc[i] = (float4)(0.0f);
    int n = chunk * lines / Ho, oy = chunk * lines % Ho, ox = 0;
    float fa[FETCHED_A], fb[FETCHED_B];
    for (int p0 = -DEPTH; p0 < pixels; p0 += DEPTH) {
        if (p0 >= 0) {
            barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
            for (int k = 0; k < DEPTH; k++)
                a_tile[k * PITCH + id] = fa[k];
            keep_rows_of_b(b_tile, fb, id);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        const int p1 = p0 + DEPTH;
#pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            const int iy = oy * S + ky - P, ix = ox * S + kx - P;
            const bool is = p1 + k < pixels && term < terms && iy >= 0 && iy < H && ix >= 0 && ix < W;
            fa[k] = is ? x[(((size_t)n * H + iy) * W + ix) * Ci + ci] : 0.0f;
            const int end_of_row = ++ox == Wo;
            ox = end_of_row ? 0 : ox;
            oy += end_of_row;
            const int end_of_image = oy == Ho;
            oy = end_of_image ? 0 : oy;
            n += end_of_image;
        }
#pragma unroll
        for (int i = 0; i < FETCHED_B; i++) {
            const int p = p1 + (id + i * GROUP) / COLS, c = c0 + (id + i * GROUP) % COLS;
            fb[i] = p < pixels && c < Co ? d[(size_t)p * Co + c] : 0.0f;
        }
        if (p0 < 0)
            continue;
        tile_add(a_fours, b_fours, row, across, acc);
        if (bias && first == 0 && id < COLS)
            for (int k = 0; k < DEPTH; k++)
                of_bias += b_tile[k * COLS + id];
    }
    global float *out = partial + (size_t)chunk * (terms * Co + (bias ? Co : 0));
    for (int i = 0; i < MINE; i++) {
        const int r = first + ROW_OF(i);
        if (r < terms)
            put(acc[i], out + (size_t)r * Co, c0 + 4 * across, Co);
    }
    if (bias && first == 0 && id < COLS && c0 + id < Co)
        out[(size_t)terms * Co + c0 + id] = of_bias;
}
