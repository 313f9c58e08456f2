/* XXH3, with the widest vectors of the processor where the library can choose them at run time. */
#ifndef FOVEA_MODEL_HASH_H
#define FOVEA_MODEL_HASH_H

#ifdef FOVEA_XXH_DISPATCH
#    include <xxh_x86dispatch.h>
#else
#    include <xxhash.h>
#endif

#endif
