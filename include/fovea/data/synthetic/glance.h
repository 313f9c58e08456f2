/* Glance: a synthetic set of questions that shows whether a model has learned when to look closer. Local.
 *
 * Every image has 56 x 56 pixels and one digit, dark on light, in random colours, on a slope of brightness
 * with grain. In one of every four rows the digit is small: 8 pixels high with the gap, in one of the
 * 4 x 4 cells of 14 pixels; its strokes are one pixel wide, the grain two. In the
 * others it is 28 pixels high, in one of the 2 x 2 cells of 28 pixels, and can be read at half size. The
 * target is 28 x 28, so the low-resolution view is the image halved and the high-resolution one the image
 * itself.
 *
 * Measured with a model of this shape (width 64, 3 + 3 layers, batches of 32, rate 1e-3, half of the answers
 * after the high-resolution view): large digits are read after 10,000 to 20,000 images, small ones after
 * 30,000 with the high-resolution view, and without it they stay at 10 %, which is chance.
 *
 * question "Which digit?", answer "0" to "9", source "glance", extra {"needs": "high"} for small digits and
 * {"needs": "low"} for large ones. */
#ifndef FOVEA_DATA_SYNTHETIC_GLANCE_H
#define FOVEA_DATA_SYNTHETIC_GLANCE_H

#include "fovea/data/row.h"

/* Row number of the set of this seed; a pure function of both. Only FV_ERR_MEMORY is possible. */
fv_err fv_glance_row(uint64_t seed, uint64_t number, fv_row *out);

#endif
