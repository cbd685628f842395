// Weights for conv_winograd.cl: u = G w G' for each pair of channels (see winograd.h). A program of its own, which all
// register tiles share.
//
// Layout: w (3, 3, Cin, Cout); u (S*S, Cin, Cout), for backward-data (S*S, Cout, Cin). V divides both. An item: a row of
// u, that is a channel of what the convolution reads.

#include "conv_parts.h"
#include "winograd.h"

// A row of u: V output channels at a time. `flip`: u[.][co][ci] from w[2-ky][2-kx][ci][co], for backward-data.
INLINE void row_of_weights(const int flip, global const float *w, global float *restrict u, int row, int ci, int co)
{
    const int ic = flip ? co : ci, oc = flip ? ci : co;
    for (int c = 0; c < oc; c += V) {
        vec half_way[S][3];
        EACH_TAP(kx) {
            vec k[3], t[S];
            EACH_TAP(ky) {
                if (flip) {
                    union {
                        vec v;
                        float f[V];
                    } g;
                    for (int i = 0; i < V; i++)
                        g.f[i] = w[((8 - (3 * ky + kx)) * ci + c + i) * co + row];
                    k[ky] = g.v;
                } else
                    k[ky] = VLOAD(w + ((3 * ky + kx) * ci + row) * co + c);
            }
            weights_to_points(k, t);
            EACH_POINT(i) half_way[i][kx] = t[i];
        }
        EACH_POINT(i) {
            vec t[S];
            weights_to_points(half_way[i], t);
            EACH_POINT(j) VSTORE(t[j], u + ((i * S + j) * ic + row) * oc + c);
        }
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
