/* Pages: the key-value cache is handed out by so many rows. Pure. */
#ifndef FOVEA_MODEL_NN_PAGES_H
#define FOVEA_MODEL_NN_PAGES_H

#include <stdint.h>

enum {
    FV_PAGE = 64,                      /* rows */
    FV_MAX_PAGES = INT32_MAX / FV_PAGE /* a row is named by an int32 */
};

/* Pages for n rows. */
static inline int fv_pages_for(int64_t n_rows)
{
    return (int)((n_rows + FV_PAGE - 1) / FV_PAGE);
}

#endif
