/* Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"): SGD with momentum whose step, for
 * each weight of a convolution or dense layer but the last as a matrix X (R = K*K*Ci, C = Co), is brought near the closest matrix with
 * orthonormal columns by five steps of Newton and Schulz,
 *     X = X / |X|F,    X = X (a I + b G + c G^2),  G = X' X,    a, b, c = 3.4445, -4.7750, 2.0315
 * which take every singular value to about 1, and is multiplied by sqrt(C / R) where C > R. Other parameters step as with
 * SGD (optim.cl).
 *
 * Layout: s, the step, is as long as the weights; a matrix of the table is (offset, R, C, at): s + offset is (R, C), G and
 * the polynomial lie at `at`, (C, C) each. id 1 is the matrix; id 0 counts the parts of the result, ROWS rows (in muon_poly
 * one) of V columns, along rows first. V divides every C. The sums' order depends on the shapes alone. */

/* s = other = the step that optim_sgd would take; what is no matrix is the same in both from then on. */
kernel void muon_momentum(global const float *g, global float *m, global float *s, global float *other, int count, int chunk, float momentum,
                          int nesterov)
{
    const int first = get_global_id(0) * chunk, last = min(first + chunk, count);
    for (int i = first; i < last; i++) {
        const float mi = momentum * m[i] + g[i];
        m[i] = mi;
        s[i] = other[i] = nesterov ? g[i] + momentum * mi : mi;
    }
}

#define ROWS 4 // of the result: an item's, V columns wide
#define EACH_ROW(i) _Pragma("unroll") for (int i = 0; i < ROWS; i++)

kernel void muon_gram(global const float *s, global const int4 *table, global float *gram)
{
    const int4 t = table[get_global_id(1)];
    const int R = t.y, C = t.z, across = C / V, i0 = (int)get_global_id(0) / across * ROWS, j = (int)get_global_id(0) % across * V;
    if (i0 >= C)
        return;
    global const float *x = s + t.x;
    vec sum[ROWS];
    EACH_ROW(i) sum[i] = (vec)(0.0f);
    for (int r = 0; r < R; r++, x += C) {
        const vec xj = VLOAD(x + j);
        EACH_ROW(i) sum[i] += x[min(i0 + i, C - 1)] * xj;
    }
    EACH_ROW(i) if (i0 + i < C) VSTORE(sum[i], gram + t.w + (i0 + i) * C + j);
}

/* poly = scale a I + scale^3 b G + scale^5 c G^2, with scale = 1 / |X|F in the first step and 1 in the others. */
kernel void muon_poly(global const float *gram, global const int4 *table, global float *poly, int is_first, int is_last)
{
    const int4 t = table[get_global_id(1)];
    const int R = t.y, C = t.z, across = C / V, i = (int)get_global_id(0) / across, j = (int)get_global_id(0) % across * V;
    if (i >= C)
        return;
    global const float *g = gram + t.w;
    float trace = 1.0f;
    if (is_first) {
        trace = 1e-30f; /* a step of zeros stays one */
        for (int k = 0; k < C; k++)
            trace += g[k * C + k];
    }
    vec square = (vec)(0.0f);
    for (int k = 0; k < C; k++)
        square += g[i * C + k] / trace * (VLOAD(g + k * C + j) / trace);
    float own[V];
    for (int k = 0; k < V; k++)
        own[k] = i == j + k ? 3.4445f : 0.0f;
    const vec p = PLOAD(own) - 4.7750f * (VLOAD(g + i * C + j) / trace) + 2.0315f * square;
    VSTORE(p / sqrt(trace) * (is_last && C > R ? sqrt((float)C / R) : 1.0f), poly + t.w + i * C + j);
}

/* to = X poly */
kernel void muon_apply(global const float *s, global const int4 *table, global const float *poly, global float *to)
{
    const int4 t = table[get_global_id(1)];
    const int R = t.y, C = t.z, across = C / V, r0 = (int)get_global_id(0) / across * ROWS, j = (int)get_global_id(0) % across * V;
    if (r0 >= R)
        return;
    global const float *x = s + t.x, *p = poly + t.w + j;
    vec sum[ROWS];
    EACH_ROW(i) sum[i] = (vec)(0.0f);
    for (int k = 0; k < C; k++, p += C) {
        const vec pk = VLOAD(p);
        EACH_ROW(i) sum[i] += x[min(r0 + i, R - 1) * C + k] * pk;
    }
    EACH_ROW(i) if (r0 + i < R) VSTORE(sum[i], to + t.x + (r0 + i) * C + j);
}

kernel void muon_step(global float *w, global const float *s, int count, int decay, int chunk, float lr, float rest, float wd)
{
    const int first = get_global_id(0) * chunk, last = min(first + chunk, count);
    for (int i = first; i < last; i++)
        w[i] -= i < decay ? lr * (s[i] + wd * w[i]) : lr * rest * s[i];
}
