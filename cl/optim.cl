/* One launch updates every parameter; g is the gradient, the first `decay` floats are weights that decay.
 *
 * optim_sgd    m = momentum m + g;   w -= lr (nesterov ? g + momentum m : m) + lr wd w
 *              (Sutskever et al. 2013 in PyTorch's form; m starts at 0.)
 * optim_adamw  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *              w -= lr (m / c1) / (sqrt(v / c2) + eps) + lr wd w,   c1 = 1 - b1^t, c2 = 1 - b2^t
 *              (Loshchilov & Hutter 2019.)
 * optim_add    sum = g or (not first) sum + g: the gradients of a batch that went through the network in parts.
 * optim_average, optim_swap: the average of weights over the steps (runtime/average.h).
 * Weight decay is decoupled in both and uses the w of before the step. What does not decay (gamma, beta, biases) has
 * rest * lr for its rate. One item owns `chunk` floats. */

kernel void optim_sgd(global float *w, global const float *g, global float *m, int count, int decay, int chunk,
                      float lr, float rest, float momentum, int nesterov, float wd)
{
    const int first = get_global_id(0) * chunk, last = min(first + chunk, count);
    for (int i = first; i < last; i++) {
        const float mi = momentum * m[i] + g[i];
        const float step = nesterov ? g[i] + momentum * mi : mi;
        m[i] = mi;
        w[i] -= i < decay ? lr * (step + wd * w[i]) : lr * rest * step;
    }
}

kernel void optim_adamw(global float *w, global const float *g, global float *m, global float *v, int count,
                        int decay, int chunk, float lr, float rest, float b1, float b2, float eps, float c1, float c2,
                        float wd)
{
    const int first = get_global_id(0) * chunk, last = min(first + chunk, count);
    for (int i = first; i < last; i++) {
        const float mi = b1 * m[i] + (1.0f - b1) * g[i], vi = b2 * v[i] + (1.0f - b2) * g[i] * g[i];
        m[i] = mi;
        v[i] = vi;
        const float step = mi / c1 / (sqrt(vi / c2) + eps);
        w[i] -= i < decay ? lr * (step + wd * w[i]) : lr * rest * step;
    }
}

kernel void optim_add(global float *sum, global const float *g, int count, int chunk, int is_first)
{
    const int first = get_global_id(0) * chunk, last = min(first + chunk, count);
    for (int i = first; i < last; i++)
        sum[i] = is_first ? g[i] : sum[i] + g[i];
}

/* average += weight (w - average) */
kernel void optim_average(global float *average, global const float *w, int count, int chunk, float weight)
{
    const int first = get_global_id(0) * chunk, last = min(first + chunk, count);
    for (int i = first; i < last; i++)
        average[i] += weight * (w[i] - average[i]);
}

kernel void optim_swap(global float *a, global float *b, int count, int chunk)
{
    const int first = get_global_id(0) * chunk, last = min(first + chunk, count);
    for (int i = first; i < last; i++) {
        const float t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}
