/* The integer fields of a shape, once: their names, their keys in config.json and what each may be. Local. */
#ifndef FOVEA_SRC_MODEL_SHAPE_SHAPE_FIELDS_H
#define FOVEA_SRC_MODEL_SHAPE_SHAPE_FIELDS_H

#include "fovea/io/json.h"
#include "fovea/model/shape/shape.h"

enum {
    FV_FIELD_REQUIRED = -1,
    FV_SIZE_MAX = 1 << 20,  /* with this bound no product of sizes overflows 64 bits */
    FV_VOCAB_MAX = 1 << 24, /* rows of the embedding */
};

typedef struct fv_shape_field {
    const char *name; /* of the struct's member, and the key in YAML */
    const char *key;  /* in config.json */
    size_t offset;    /* of the int in the struct */
    int absent;       /* value if the key is absent, or FV_FIELD_REQUIRED */
    int min, max;
} fv_shape_field;

/* Ended by a field without a name. */
extern const fv_shape_field fv_text_fields[];
extern const fv_shape_field fv_vision_fields[];

/* Token ids at the top of config.json that only models with vision have; absent = the library's default. */
extern const fv_shape_field fv_vision_id_fields[];

typedef enum fv_key_style { FV_KEY_CONFIG, FV_KEY_YAML } fv_key_style;

/* No sizes and no tokens. */
extern const fv_model_shape fv_shape_empty;

/* Fill the ints of the struct at out from the members of object. */
fv_err fv_shape_read_fields(const fv_json *object, const fv_shape_field *fields, fv_key_style style,
                            void *out);

/* config.json's model_type, and back. FV_ERR_UNSUPPORTED lists the known ones. */
const char *fv_family_name(fv_family family);
fv_err fv_family_parse(const char *name, fv_family *out);

/* A number or a list of at most FV_MAX_EOS numbers under key; absent or null leaves the shape as it is. */
fv_err fv_shape_read_eos(const fv_json *object, const char *key, fv_model_shape *out);

/* The rotary positions of text, a section of root or root itself; the sizes of out are there. */
fv_err fv_shape_read_rope(const fv_json *root, const fv_json *text, fv_model_shape *out);
fv_err fv_shape_check_vision_rope(const fv_json *vision);
const char *fv_rope_kind_name(fv_rope_kind kind); /* as rope_type says it */

/* generation.c: what generation_config.json, an object, says of sampling. */
fv_err fv_generation_read(const fv_json *root, fv_generation_defaults *out);

/* What follows from other fields: flags of the family, and sizes that were left 0. */
void fv_shape_derive(fv_model_shape *shape);

#endif
