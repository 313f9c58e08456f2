#include "fovea/reward/truths.h"

#include <string.h>

int fv_truths_next(fv_slice *rest, fv_slice *one)
{
    if (!rest->data)
        return 0;
    const char *end = rest->size ? memchr(rest->data, '\0', rest->size) : NULL;
    *one = end ? fv_slice_cut(*rest, 0, (size_t)(end - rest->data)) : *rest;
    *rest = end ? fv_slice_cut(*rest, one->size + 1, rest->size) : (fv_slice){0};
    return 1;
}

fv_err fv_truths_add(fv_buffer *truths, fv_slice text)
{
    fv_slice rest = {truths->data, truths->size}, one;
    FV_CHECK(text.size == 0 || !memchr(text.data, '\0', text.size), FV_ERR_FORMAT, "an answer holds a NUL");
    while (fv_truths_next(&rest, &one))
        if (fv_slice_equal(one, text))
            return FV_OK;
    if (truths->data)
        FV_TRY(fv_buffer_append(truths, "", 1));
    return fv_buffer_append(truths, text.data, text.size);
}

static fv_json *make_text(fv_slice text)
{
    return fv_json_make_string(text.data ? text.data : "", text.size);
}

fv_err fv_truths_to_json(fv_slice truths, fv_json **out)
{
    fv_slice one = {0};
    fv_err err = FV_OK;
    *out = NULL;
    fv_truths_next(&truths, &one);
    if (!truths.data) {
        *out = make_text(one);
        return *out ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate an answer");
    }
    fv_json *list = fv_json_make_array();
    do
        err = fv_json_append(list, make_text(one));
    while (err == FV_OK && fv_truths_next(&truths, &one));
    if (err == FV_OK)
        *out = list;
    else
        fv_json_destroy(list);
    return err;
}

fv_err fv_truths_from_json(const fv_json *value, const char *name, fv_buffer *out)
{
    fv_slice text;
    int is_list = value && fv_json_kind_of(value) == FV_JSON_ARRAY;
    size_t n = is_list ? fv_json_size(value) : 1;
    FV_CHECK(n > 0, FV_ERR_FORMAT, "\"%s\" is an empty list", name);
    for (size_t i = 0; i < n; i++) {
        FV_TRY(fv_json_to_string(is_list ? fv_json_at(value, i) : value, name, &text.data, &text.size));
        FV_TRY(fv_truths_add(out, text));
    }
    return FV_OK;
}
