/* Softmax cross-entropy with label smoothing s over K classes, mean over B images, N of which are here:
 *
 *     p = softmax(x)      t = (1 - s) (m [k == label] + (1 - m) [k == other]) + s / K      loss = -sum_k t_k log p_k
 *     dx = (p - t) / B
 *
 * (Szegedy et al. 2016, section 7; PyTorch's cross_entropy(label_smoothing=s).) x, dx (N, K).
 * m is 1 but for mixed images (mixup), whose second label is `other`; hits are those of the first.
 * loss_rows: one item an image. loss_sum: one item adds the batch to the running totals, in fixed order. */

kernel void loss_rows(global const float *x, global const int *labels, global const int *others, // (N)
                      global float *dx,                                 // (N, K) or NULL where train is 0
                      global float *losses, global int *hits,           // (N)
                      global int *predicted, global float *confidence,  // at [base + n]
                      int N, int B, int K, float smoothing, float share, int base, int train)
{
    const int n = get_global_id(0);
    if (n >= N)
        return;
    global const float *row = x + (size_t)n * K;
    const int label = labels[n], other = others[n];
    float top = row[0], sum = 0.0f, mean = 0.0f;
    int best = 0;
    for (int k = 1; k < K; k++)
        if (row[k] > top) {
            top = row[k];
            best = k;
        }
    for (int k = 0; k < K; k++) {
        sum += exp(row[k] - top);
        mean += (row[k] - top) / K;
    }
    const float log_sum = log(sum);
    const float hit = share * (row[label] - top) + (1.0f - share) * (row[other] - top);
    losses[n] = log_sum - (1.0f - smoothing) * hit - smoothing * mean;
    hits[n] = best == label;
    predicted[base + n] = best;
    confidence[base + n] = 1.0f / sum;
    if (!train)
        return;
    for (int k = 0; k < K; k++) {
        const float m = (k == label ? share : 0.0f) + (k == other ? 1.0f - share : 0.0f);
        const float t = m * (1.0f - smoothing) + smoothing / K;
        dx[(size_t)n * K + k] = (exp(row[k] - top) / sum - t) / B;
    }
}

/* totals: 0 sum of losses, 1 what its rounding lost (Kahan), 2 hits, 3 images.
 * bad[0]: first step whose loss is not finite; -1 while all are. */
kernel void loss_sum(global const float *losses, global const int *hits, global float *totals, global int *bad,
                     int N, int step)
{
    if (get_global_id(0) != 0)
        return;
    float sum = 0.0f;
    int right = 0;
    for (int n = 0; n < N; n++) {
        sum += losses[n];
        right += hits[n];
    }
    if (!isfinite(sum) && bad[0] < 0)
        bad[0] = step;
    const float y = sum - totals[1], t = totals[0] + y;
    totals[1] = (t - totals[0]) - y;
    totals[0] = t;
    totals[2] += right;
    totals[3] += N;
}
