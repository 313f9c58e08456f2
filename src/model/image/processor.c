#include "fovea/model/image/processor.h"
#include "fovea/base/file.h"
#include "fovea/io/json.h"

#include <limits.h>
#include <math.h>
#include <string.h>

void fv_processor_init(fv_processor *out)
{
    *out = (fv_processor){.min_pixels = 56 * 56,
                          .max_pixels = 28 * 28 * 1280,
                          .patch = 14,
                          .temporal_patch = 2,
                          .merge = 2,
                          .do_resize = 1,
                          .do_rescale = 1,
                          .do_normalize = 1,
                          .resample = FV_FILTER_BICUBIC,
                          .rescale_factor = 1.0 / 255.0,
                          .mean = {0.48145466, 0.4578275, 0.40821073},
                          .std = {0.26862954, 0.26130258, 0.27577711}};
}

static fv_err read_small(const fv_json *object, const char *key, int *out)
{
    enum { LARGEST = 1024 };
    int64_t value = *out;
    FV_TRY(fv_json_get_integer(object, key, &value));
    FV_CHECK(value >= 1 && value <= LARGEST, FV_ERR_FORMAT, "%s is %lld, expected 1 to %d", key,
             (long long)value, LARGEST);
    *out = (int)value;
    return FV_OK;
}

static fv_err read_triple(const fv_json *object, const char *key, double out[3])
{
    const fv_json *list = fv_json_get(object, key);
    if (!list || fv_json_kind_of(list) == FV_JSON_NULL)
        return FV_OK;
    FV_CHECK(fv_json_kind_of(list) == FV_JSON_ARRAY && fv_json_size(list) == 3, FV_ERR_FORMAT,
             "%s is not a list of 3 numbers", key);
    for (size_t c = 0; c < 3; c++)
        FV_TRY(fv_json_to_real(fv_json_at(list, c), key, &out[c]));
    return FV_OK;
}

static fv_err read_pixel_bounds(const fv_json *object, fv_processor *out)
{
    const fv_json *size = fv_json_get(object, "size");
    if (size && fv_json_kind_of(size) != FV_JSON_NULL) {
        FV_CHECK(fv_json_kind_of(size) == FV_JSON_OBJECT, FV_ERR_UNSUPPORTED,
                 "size is not an object with shortest_edge and longest_edge");
        FV_CHECK(!fv_json_get(size, "height") && !fv_json_get(size, "width"), FV_ERR_UNSUPPORTED,
                 "size has height or width, expected shortest_edge and longest_edge");
        FV_TRY(fv_json_get_integer(size, "min_pixels", &out->min_pixels));
        FV_TRY(fv_json_get_integer(size, "max_pixels", &out->max_pixels));
        FV_TRY(fv_json_get_integer(size, "shortest_edge", &out->min_pixels));
        FV_TRY(fv_json_get_integer(size, "longest_edge", &out->max_pixels));
    }
    FV_TRY(fv_json_get_integer(object, "min_pixels", &out->min_pixels));
    FV_TRY(fv_json_get_integer(object, "max_pixels", &out->max_pixels));
    FV_CHECK(out->min_pixels >= 1 && out->min_pixels <= out->max_pixels, FV_ERR_FORMAT,
             "min_pixels is %lld and max_pixels %lld, expected 1 <= min_pixels <= max_pixels",
             (long long)out->min_pixels, (long long)out->max_pixels);
    return FV_OK;
}

static fv_err read_resample(const fv_json *object, fv_processor *out)
{
    int64_t resample = out->resample;
    FV_TRY(fv_json_get_integer(object, "resample", &resample));
    FV_CHECK(resample == FV_FILTER_LANCZOS || resample == FV_FILTER_BICUBIC, FV_ERR_UNSUPPORTED,
             "resample is %lld, supported are 1 (Lanczos) and 3 (bicubic)", (long long)resample);
    out->resample = (fv_filter)resample;
    return FV_OK;
}

static fv_err read_normalisation(const fv_json *object, fv_processor *out)
{
    FV_TRY(fv_json_get_bool(object, "do_rescale", &out->do_rescale));
    FV_TRY(fv_json_get_bool(object, "do_normalize", &out->do_normalize));
    FV_TRY(fv_json_get_real(object, "rescale_factor", &out->rescale_factor));
    FV_CHECK(isfinite((float)(255 * out->rescale_factor)), FV_ERR_FORMAT, "rescale_factor %g is too large",
             out->rescale_factor);
    FV_TRY(read_triple(object, "image_mean", out->mean));
    FV_TRY(read_triple(object, "image_std", out->std));
    for (int c = 0; c < 3; c++)
        FV_CHECK(isnormal((float)out->std[c]) && isfinite((float)out->mean[c]), FV_ERR_FORMAT,
                 "image_mean and image_std of channel %d are %g and %g, expected finite numbers, std not 0",
                 c, out->mean[c], out->std[c]);
    return FV_OK;
}

/* Other models' processors, and steps that this one does not have. */
static fv_err refuse_foreign(const fv_json *object)
{
    static const char *const types[] = {"Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast",
                                        "Qwen2VLImageProcessorPil", "Qwen2_5_VLImageProcessor"};
    static const char *const steps[] = {"do_center_crop", "do_pad"};
    const char *type = types[0];
    int known = 0;
    FV_TRY(fv_json_get_string(object, "image_processor_type", &type));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        known |= strcmp(type, types[i]) == 0;
    FV_CHECK(known, FV_ERR_UNSUPPORTED, "image_processor_type is \"%s\", supported is \"%s\"", type,
             types[0]);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int wanted = 0;
        FV_TRY(fv_json_get_bool(object, steps[i], &wanted));
        FV_CHECK(!wanted, FV_ERR_UNSUPPORTED, "%s is true, supported is false", steps[i]);
    }
    return FV_OK;
}

static fv_err read_all(const fv_json *object, fv_processor *out)
{
    FV_CHECK(fv_json_kind_of(object) == FV_JSON_OBJECT, FV_ERR_FORMAT,
             "the image processor is not an object");
    FV_TRY(refuse_foreign(object));
    FV_TRY(read_small(object, "patch_size", &out->patch));
    FV_TRY(read_small(object, "temporal_patch_size", &out->temporal_patch));
    FV_TRY(read_small(object, "merge_size", &out->merge));
    FV_TRY(fv_json_get_bool(object, "do_resize", &out->do_resize));
    FV_TRY(read_pixel_bounds(object, out));
    FV_TRY(read_resample(object, out));
    return read_normalisation(object, out);
}

/* *found stays 0 if there is no such file, or no such member in it. */
static fv_err load_part(const char *folder, const char *name, const char *member, fv_processor *out,
                        int *found)
{
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, folder, name));
    if (!fv_file_exists(path))
        return FV_OK;
    fv_json *root;
    FV_TRY(fv_json_load(path, &root));
    const fv_json *object = member ? fv_json_get(root, member) : root;
    *found = object != NULL;
    fv_err err = object ? read_all(object, out) : FV_OK;
    fv_json_destroy(root);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", path);
}

fv_err fv_processor_load(const char *folder, fv_processor *out)
{
    int found = 0;
    fv_processor_init(out);
    FV_TRY(load_part(folder, "processor_config.json", "image_processor", out, &found));
    if (!found)
        FV_TRY(load_part(folder, "preprocessor_config.json", NULL, out, &found));
    FV_CHECK(found, FV_ERR_IO, "%s has no preprocessor_config.json: this model cannot take images", folder);
    return FV_OK;
}
