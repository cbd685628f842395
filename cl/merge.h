// The coefficients of a layer, group or instance norm where they are used, for inference, which needs them nowhere else:
// an item makes those of its images from the statistics, and no kernel has to be launched for them.
//
// out (2, C) = mu, a = gamma / sqrt(var + eps) of an image, from the (mean, M2) of its strips (strips, 2, C), each of
// `rows` rows but the last, of h x w pixels in all; sets of C / groups channels share them. As norm.cl merges strips:
// first those of a channel, then the channels of a set.
APART void merge_statistics(global const float *stats, global const float *gamma, global float *out, int h, int w,
                            int channels, int rows, int groups, float eps)
{
    const int pitch = 2 * channels, size = channels / groups;
    for (int c = 0; c < channels; c += V) { // of each channel
        global const float *s = stats + c;
        const vec first = VLOAD(s);
        vec offset = (vec)(0.0f), m2 = (vec)(0.0f);
        for (int r = rows, t = 1; r < h; r += rows, t++)
            offset += (VLOAD(s + t * pitch) - first) * (float)(min(rows, h - r) * w);
        const vec mean = first + offset / (float)(h * w);
        for (int r = 0, t = 0; r < h; r += rows, t++) {
            const vec d = VLOAD(s + t * pitch) - mean;
            m2 += VLOAD(s + t * pitch + channels) + d * d * (float)(min(rows, h - r) * w);
        }
        VSTORE(mean, out + c);
        VSTORE(m2, out + channels + c);
    }
    for (int c0 = 0; c0 < channels; c0 += size) {
        const float first = out[c0];
        float offset = 0.0f, inside = 0.0f, between = 0.0f;
        for (int c = c0; c < c0 + size; c++)
            offset += out[c] - first;
        const float mean = first + offset / size;
        for (int c = c0; c < c0 + size; c++) {
            const float d = out[c] - mean;
            inside += out[channels + c];
            between += d * d;
        }
        const float rstd = 1.0f / sqrt((inside + between * (h * w)) / ((float)size * h * w) + eps);
        for (int c = c0; c < c0 + size; c++) {
            out[c] = mean;
            out[channels + c] = gamma[c] * rstd;
        }
    }
}

// The same for image id 1 of the item id 0: stats (N, strips, 2, C), coefs (items, N, 2, C); returns where they are.
static global const float *merge_own(global const float *stats, global const float *gamma, global float *coefs, int h,
                                     int w, int channels, int rows, int groups, float eps)
{
    const size_t pitch = 2 * channels, n = get_global_id(1);
    global float *out = coefs + (get_global_id(0) * get_global_size(1) + n) * pitch;
    merge_statistics(stats + n * ((h + rows - 1) / rows) * pitch, gamma, out, h, w, channels, rows, groups, eps);
    return out;
}
