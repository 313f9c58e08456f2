#include "shape_fields.h"

static fv_err tell(fv_buffer *out, const char *name, const char *field, long value, long expected)
{
    return fv_buffer_print(out, "%s%s%s is %ld, expected %ld", out->size ? ", " : "", name, field, value,
                           expected);
}

static fv_err compare_fields(const char *name, const fv_shape_field *fields, const void *of,
                             const void *expected, fv_buffer *out)
{
    for (; fields->name; fields++) {
        int value = *(const int *)((const char *)of + fields->offset);
        int wanted = *(const int *)((const char *)expected + fields->offset);
        if (value != wanted)
            FV_TRY(tell(out, name, fields->name, value, wanted));
    }
    return FV_OK;
}

fv_err fv_model_shape_compare(const fv_model_shape *shape, const fv_model_shape *expected, fv_buffer *out)
{
    if (shape->family != expected->family)
        FV_TRY(fv_buffer_print(out, "the family is %s, expected %s", fv_family_name(shape->family),
                               fv_family_name(expected->family)));
    FV_TRY(compare_fields("text.", fv_text_fields, &shape->text, &expected->text, out));
    if (shape->text.tied != expected->text.tied)
        FV_TRY(tell(out, "text.", "tied", shape->text.tied, expected->text.tied));
    return compare_fields("vision.", fv_vision_fields, &shape->vision, &expected->vision, out);
}
