/* Whether two reports are of one evaluation. */
#include "fovea/eval/report.h"

#include <string.h>

static fv_err print_setting(const fv_json *settings, const char *key, fv_buffer *out)
{
    const fv_json *value = fv_json_get(settings, key);
    return value ? fv_json_print(value, 0, out) : fv_buffer_print(out, "absent");
}

fv_err fv_report_compare_setting(const fv_report *const reports[2], const char *const names[2],
                                 const char *key)
{
    fv_buffer first = {0}, other = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(print_setting(reports[0]->settings, key, &first));
    FV_TRY_DONE(print_setting(reports[1]->settings, key, &other));
    FV_CHECK_DONE(strcmp(first.data, other.data) == 0, FV_ERR_ARGUMENT,
                  "%s and %s are not of one evaluation: \"%s\" is %s in one, %s in the other", names[0],
                  names[1], key, first.data, other.data);
done:
    fv_buffer_fini(&first);
    fv_buffer_fini(&other);
    return err;
}

/* Every key of either. */
fv_err fv_report_compare(const fv_report *const reports[2], const char *const names[2])
{
    for (int side = 0; side < 2; side++)
        for (void *at = fv_json_first(reports[side]->settings); at;
             at = fv_json_next(reports[side]->settings, at))
            FV_TRY(fv_report_compare_setting(reports, names, fv_json_key(at)));
    return FV_OK;
}
