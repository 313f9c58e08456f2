/* Print: a synthetic set of pages with real fonts: notes, tables and bar charts. Local.
 *
 * A page has 448 to about 1300 pixels a side, multiples of 56, often a large title, and one scene of words
 * and numbers, at any place, in one of three families of fonts and random colours. In one of every four rows
 * the scene's letters have 8 to 10 pixels, and 4 to 5 at half size; in the others 26 to 34. Pages of both
 * kinds are equally large. The target is half the page, so the low-resolution view is the page halved and the
 * high-resolution one the page itself.
 *
 * The question asks for a number of the scene, which is the answer; source "print"; extra {"needs": "high"}
 * for small letters and {"needs": "low"} for large ones. */
#ifndef FOVEA_DATA_SYNTHETIC_PRINT_H
#define FOVEA_DATA_SYNTHETIC_PRINT_H

#include "fovea/data/row.h"

/* Row number of the set of this seed; a pure function of both and of the fonts of the machine.
 * FV_ERR_UNSUPPORTED: fovea was built without pango, or there are no fonts. */
fv_err fv_print_row(uint64_t seed, uint64_t number, fv_row *out);

#endif
