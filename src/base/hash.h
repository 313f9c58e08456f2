/* XXH3, for all who hash: with the widest vectors of the processor where the library can choose them at run
 * time. */
#ifndef FOVEA_SRC_BASE_HASH_H
#define FOVEA_SRC_BASE_HASH_H

#ifdef FOVEA_XXH_DISPATCH
#    include <xxh_x86dispatch.h>
#else
#    include <xxhash.h>
#endif

#endif
