// Weights for conv_winograd.cl, which this is a part of: u = G w G' for each pair of channels (see winograd.h).
//
// Layout: w (3, 3, Cin, Cout); u (S*S, Cin, Cout), for backward-data (S*S, Cout, Cin). V divides both. An item: a row of
// u, that is a channel of what the convolution reads.

// V channels of all matrices, which are `pitch` floats apart.
APART void weights_to_matrices(const vec w[3][3], global float *restrict u, int pitch)
{
    vec half_way[S][3];
    EACH_TAP(kx) {
        vec k[3], t[S];
        EACH_TAP(ky) k[ky] = w[ky][kx];
        weights_to_points(k, t);
        EACH_POINT(i) half_way[i][kx] = t[i];
    }
    EACH_POINT(i) {
        vec t[S];
        weights_to_points(half_way[i], t);
        EACH_POINT(j) VSTORE(t[j], u + (long)(i * S + j) * pitch);
    }
}

// A row of u: V output channels at a time. `flip`: u[.][co][ci] from w[2-ky][2-kx][ci][co], for backward-data.
INLINE void row_of_weights(const int flip, global const float *w, global float *restrict u, int row, int ci, int co)
{
    const int ic = flip ? co : ci, oc = flip ? ci : co;
    for (int c = 0; c < oc; c += V) {
        vec k[3][3];
        for (int tap = 0; tap < 9; tap++)
            if (flip) {
                union {
                    vec v;
                    float f[V];
                } g;
                for (int i = 0; i < V; i++)
                    g.f[i] = w[((8 - tap) * ci + c + i) * co + row];
                k[tap / 3][tap % 3] = g.v;
            } else
                k[tap / 3][tap % 3] = VLOAD(w + (tap * ci + row) * co + c);
        weights_to_matrices(k, u + row * oc + c, ic * oc);
    }
}

kernel void conv_fwd_winograd_weights(global const float *w,    // (3, 3, Cin, Cout)
                                      global float *restrict u, // (S*S, Cin, Cout)
                                      int ci, int co)
{
    row_of_weights(0, w, u, get_global_id(0), ci, co);
}

kernel void conv_bwd_data_winograd_weights(global const float *w,    // (3, 3, Cin, Cout)
                                           global float *restrict u, // (S*S, Cout, Cin)
                                           int ci, int co)
{
    row_of_weights(1, w, u, get_global_id(0), ci, co);
}
