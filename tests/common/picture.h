/* Pictures that a test has drawn into the scratch folder. */
#ifndef CLN_TEST_PICTURE_H
#define CLN_TEST_PICTURE_H

#include <stdint.h>

/* The file is a whole PNG of that size. */
void is_png(const char *name, uint32_t width, uint32_t height);

/* The file is an SVG of that size: well-formed as far as opening and closing tags go, with something drawn. */
void is_svg(const char *name, int width, int height);

/* Pixels of exactly this colour in columns [from, to). */
int count_pixels(const char *name, uint32_t rgb, int from, int to);

/* The longest run of pixels of exactly this colour from top to bottom, over all columns of rows below `top`. */
int tallest_run(const char *name, uint32_t rgb, int top);

/* Middle of all pixels of exactly this colour in rows below `top`; there must be some. */
void centre_of(const char *name, uint32_t rgb, int top, double *x, double *y);

#endif
