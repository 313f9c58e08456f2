#include "model/shape/shape_fields.h"

#include <math.h>

static fv_err check_fields(const fv_shape_field *fields, const void *of)
{
    for (const fv_shape_field *field = fields; field->name; field++) {
        int value = *(const int *)((const char *)of + field->offset);
        FV_CHECK(value >= field->min && value <= field->max, FV_ERR_FORMAT,
                 "%s (\"%s\") is %d, expected %d to %d", field->name, field->key, value, field->min,
                 field->max);
    }
    return FV_OK;
}

static fv_err check_heads(const fv_text_shape *text)
{
    FV_CHECK(text->head_dim > 0 || text->hidden % text->n_heads == 0, FV_ERR_FORMAT,
             "hidden (\"hidden_size\") is %d and n_heads (\"num_attention_heads\") %d: without \"head_dim\" "
             "the first must be a multiple of the second",
             text->hidden, text->n_heads);
    FV_CHECK(text->n_heads % text->n_kv_heads == 0, FV_ERR_FORMAT,
             "n_heads (\"num_attention_heads\") is %d, expected a multiple of n_kv_heads "
             "(\"num_key_value_heads\") %d",
             text->n_heads, text->n_kv_heads);
    FV_CHECK(text->head_dim % 2 == 0, FV_ERR_FORMAT, "head_dim is %d, expected an even number",
             text->head_dim);
    FV_CHECK((int64_t)text->n_heads * text->head_dim <= FV_SIZE_MAX, FV_ERR_FORMAT,
             "%d heads of %d numbers are more than %d", text->n_heads, text->head_dim, FV_SIZE_MAX);
    return FV_OK;
}

static fv_err check_text(const fv_text_shape *text)
{
    FV_TRY(check_heads(text));
    FV_TRY(check_fields(fv_text_fields, text));
    const int *section = text->mrope_section;
    FV_CHECK(section[0] >= 0 && section[1] >= 0 && section[2] >= 0 &&
                 (int64_t)section[0] + section[1] + section[2] == text->head_dim / 2,
             FV_ERR_FORMAT, "mrope_section is [%d, %d, %d], expected a sum of %d, half of head_dim",
             section[0], section[1], section[2], text->head_dim / 2);
    FV_CHECK(text->sliding_window >= 0, FV_ERR_FORMAT, "sliding_window is %d, expected at least 0",
             text->sliding_window);
    FV_CHECK(isfinite(text->rope_theta) && text->rope_theta > 0, FV_ERR_FORMAT,
             "rope_theta is %g, expected a positive number", (double)text->rope_theta);
    FV_CHECK(text->rope.kind != FV_ROPE_YARN || text->rope_theta > 1, FV_ERR_FORMAT,
             "rope_theta is %g, expected more than 1 for YaRN", (double)text->rope_theta);
    FV_CHECK(isfinite(text->norm_eps) && text->norm_eps > 0, FV_ERR_FORMAT,
             "norm_eps (\"rms_norm_eps\") is %g, expected a positive number", (double)text->norm_eps);
    return FV_OK;
}

static fv_err check_vision(const fv_vision_shape *vision, int text_hidden)
{
    FV_TRY(check_fields(fv_vision_fields, vision));
    FV_CHECK(vision->hidden % vision->n_heads == 0 && vision->hidden / vision->n_heads % 4 == 0,
             FV_ERR_FORMAT,
             "the vision tower's %d heads share a hidden size of %d, expected a multiple of 4 for each",
             vision->n_heads, vision->hidden);
    FV_CHECK(vision->out_hidden == text_hidden, FV_ERR_FORMAT,
             "the vision tower's out_hidden (\"out_hidden_size\") is %d, expected the text's hidden size %d",
             vision->out_hidden, text_hidden);
    FV_CHECK(vision->window / vision->merge / vision->patch >= 1, FV_ERR_FORMAT,
             "window (\"window_size\") is %d pixels, expected at least one merged patch, %d", vision->window,
             vision->merge * vision->patch);
    int64_t merged = (int64_t)vision->hidden * vision->merge * vision->merge;
    int64_t pixels = (int64_t)vision->in_channels * vision->temporal_patch * vision->patch * vision->patch;
    FV_CHECK(merged <= FV_SIZE_MAX && pixels <= FV_SIZE_MAX, FV_ERR_FORMAT,
             "a patch of %lld pixels or merged patches of %lld numbers are more than %d", (long long)pixels,
             (long long)merged, FV_SIZE_MAX);
    return FV_OK;
}

static fv_err check_id(const char *what, int32_t id, int min, int vocab)
{
    FV_CHECK(id >= min && id < vocab, FV_ERR_FORMAT, "%s is %d, outside the vocabulary of %d tokens", what,
             id, vocab);
    return FV_OK;
}

static fv_err check_ids(const fv_model_shape *shape)
{
    int vocab = shape->text.vocab;
    FV_CHECK(shape->n_eos >= 0 && shape->n_eos <= FV_MAX_EOS, FV_ERR_FORMAT,
             "%d ending tokens, expected at most %d", shape->n_eos, FV_MAX_EOS);
    for (int i = 0; i < shape->n_eos; i++)
        FV_TRY(check_id("eos_ids (\"eos_token_id\")", shape->eos_ids[i], 0, vocab));
    FV_TRY(check_id("pad_id (\"pad_token_id\")", shape->pad_id, -1, vocab));
    FV_TRY(check_id("bos_id (\"bos_token_id\")", shape->bos_id, -1, vocab));
    if (shape->vision.depth == 0)
        return FV_OK;
    for (const fv_shape_field *field = fv_vision_id_fields; field->name; field++)
        FV_TRY(check_id(field->key, *(const int32_t *)((const char *)shape + field->offset), 0, vocab));
    return FV_OK;
}

fv_err fv_model_shape_check(const fv_model_shape *shape)
{
    FV_CHECK(shape->text.n_heads > 0 && shape->text.n_kv_heads > 0, FV_ERR_FORMAT,
             "%d heads and %d key and value heads, expected at least 1", shape->text.n_heads,
             shape->text.n_kv_heads);
    FV_TRY(check_text(&shape->text));
    int has_vision = shape->family == FV_FAMILY_QWEN2_5_VL;
    FV_CHECK(has_vision == (shape->vision.depth != 0), FV_ERR_FORMAT,
             "models of type %s are expected %s a vision tower", fv_family_name(shape->family),
             has_vision ? "with" : "without");
    if (has_vision)
        FV_TRY(check_vision(&shape->vision, shape->text.hidden));
    return check_ids(shape);
}
