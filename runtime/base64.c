#include "base64.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *cln_base64_encode(const void *bytes, size_t n)
{
    const unsigned char *in = bytes;
    if (n > SIZE_MAX / 2)
        return NULL;
    char *text = malloc((n + 2) / 3 * 4 + 1), *out = text;
    if (!text)
        return NULL;
    for (size_t i = 0; i < n; i += 3) {
        const size_t left = n - i;
        const uint32_t word = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                              (left > 2 ? in[i + 2] : 0u);
        *out++ = digits[word >> 18];
        *out++ = digits[word >> 12 & 63];
        *out++ = left > 1 ? digits[word >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[word & 63] : '=';
    }
    *out = '\0';
    return text;
}

bool cln_base64_decode(const char *text, unsigned char *bytes, size_t n)
{
    if (n > SIZE_MAX / 2 || strlen(text) != (n + 2) / 3 * 4)
        return false;
    for (size_t i = 0; i < n; i += 3, text += 4) {
        const size_t left = n - i < 3 ? n - i : 3;
        uint32_t word = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *at = text[k] ? strchr(digits, text[k]) : NULL;
            if (k > left ? text[k] != '=' : !at)
                return false;
            word = word << 6 | (k > left ? 0u : (uint32_t)(at - digits));
        }
        if ((word & ((1u << 8 * (3 - left)) - 1)) != 0)
            return false; /* bits beyond the last byte */
        for (size_t k = 0; k < left; k++)
            bytes[i + k] = (unsigned char)(word >> (16 - 8 * k));
    }
    return true;
}
