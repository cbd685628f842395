/* What a convolution needs around a matrix product (the product itself is CLBlast's SGEMM):
 *
 *     col (n*Ho*Wo, K*K*Ci):  col[(n,oy,ox)][(ky,kx,ci)] = x[n, oy*S+ky-P, ox*S+kx-P, ci], 0 outside
 *     y = col * w (+ b)       dw = col^T * dy       dcol = dy * w^T       dx = col2im(dcol)
 *     col2im: dx[n,iy,ix,ci] = sum over ky,kx with S | iy+P-ky, S | ix+P-kx of
 *                              dcol[(n, (iy+P-ky)/S, (ix+P-kx)/S)][(ky,kx,ci)]      (a gather: no atomics)
 *
 * Layout: images NHWC, weights [ky][kx][ci][co] = a row-major (K*K*Ci, Co) matrix; image offsets
 * say where a chunk of images begins. V divides Ci.
 * Ownership: id 0 = segment * lanes + lane, id 1 = row of the image, id 2 = image. A segment is
 * `span` pixels of the row; a lane owns the vectors lane, lane + lanes, ... of each of its pixels.
 * One lane and the whole row in the vector class; in the SIMT class a lane for each vector and one
 * pixel. */

kernel void conv_fwd_im2col(global const float *x, // (N, H, W, Ci)
                            global float *col,     // (images, Ho, Wo, K*K*Ci)
                            int image, int H, int W, int Ci, int Ho, int Wo, int K, int S, int P, int span,
                            int lanes)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * span;
    const int oy = get_global_id(1), n = get_global_id(2), last = min(first + span, Wo), patch = K * K * Ci;
    for (int ox = first; ox < last; ox++) {
        global float *out = col + (((size_t)n * Ho + oy) * Wo + ox) * patch;
        for (int i = lane * V; i < patch; i += lanes * V) {
            const int tap = i / Ci, iy = oy * S + tap / K - P, ix = ox * S + tap % K - P;
            vec v = (vec)(0.0f);
            if (iy >= 0 && iy < H && ix >= 0 && ix < W)
                v = VLOAD(x + (((size_t)(image + n) * H + iy) * W + ix) * Ci + i % Ci);
            VSTORE(v, out + i);
        }
    }
}

kernel void conv_bwd_col2im(global const float *col, // (images, Ho, Wo, K*K*Ci)
                            global float *dx,        // (N, H, W, Ci)
                            int image, int H, int W, int Ci, int Ho, int Wo, int K, int S, int P, int span,
                            int lanes, int accumulate)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * span;
    const int iy = get_global_id(1), n = get_global_id(2), last = min(first + span, W), patch = K * K * Ci;
    const int ky1 = min(K, iy + P + 1);
    for (int ix = first; ix < last; ix++) {
        const int kx1 = min(K, ix + P + 1);
        global float *out = dx + (((size_t)(image + n) * H + iy) * W + ix) * Ci;
        for (int c = lane * V; c < Ci; c += lanes * V) {
            vec sum = (vec)(0.0f);
            for (int ky = (iy + P) % S; ky < ky1; ky += S) {
                const int oy = (iy + P - ky) / S;
                if (oy >= Ho)
                    continue;
                for (int kx = (ix + P) % S; kx < kx1; kx += S) {
                    const int ox = (ix + P - kx) / S;
                    if (ox < Wo)
                        sum += VLOAD(col + (((size_t)n * Ho + oy) * Wo + ox) * patch + (ky * K + kx) * Ci + c);
                }
            }
            if (accumulate)
                sum += VLOAD(out + c);
            VSTORE(sum, out + c);
        }
    }
}

/* Every row of y becomes the bias; the product is then added to it. One item owns `span` rows. */
kernel void conv_fwd_bias_gemm(global const float *b, // (Co)
                               global float *y,       // (rows, Co)
                               int rows, int Co, int span)
{
    const int first = get_global_id(0) * span, last = min(first + span, rows);
    for (int r = first; r < last; r++)
        for (int c = 0; c < Co; c++)
            y[(size_t)r * Co + c] = b[c];
}

/* Sums over chunks of `span` rows: run on dy (rows, Co) it gives (chunks, Co), and run on that
 * with one chunk it gives db. One item owns a channel and a chunk: id 0 = chunk * Co + channel. */
kernel void conv_bwd_bias_gemm(global const float *dy, global float *sums, int rows, int Co, int span)
{
    const int c = get_global_id(0) % Co, t = get_global_id(0) / Co, last = min((t + 1) * span, rows);
    if (t * span >= rows)
        return;
    float sum = 0.0f;
    for (int r = t * span; r < last; r++)
        sum += dy[(size_t)r * Co + c];
    sums[(size_t)t * Co + c] = sum;
}
