#include "jobs/model/folder_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

fv_folder_style fv_parse_style(struct argp_state *state, const char *text, int keep)
{
    if (strcmp(text, "4") == 0)
        return FV_FOLDER_V4;
    if (strcmp(text, "5") == 0)
        return FV_FOLDER_V5;
    if (!keep || strcmp(text, "keep") != 0)
        argp_error(state, "--style is \"%s\", expected 4%s", text, keep ? ", 5 or keep" : " or 5");
    return FV_FOLDER_KEEP;
}

fv_dtype fv_parse_dtype(struct argp_state *state, const char *text)
{
    fv_dtype dtype = FV_F32;
    if (fv_dtype_parse_float(text, &dtype) != FV_OK)
        argp_error(state, "--dtype: %s", fv_error_text());
    return dtype;
}

int64_t fv_parse_bytes(struct argp_state *state, const char *option, const char *text)
{
    char *end;
    errno = 0;
    long long bytes = strtoll(text, &end, 10);
    if (end == text || *end || errno || bytes < 1)
        argp_error(state, "%s is \"%s\", expected a number of bytes", option, text);
    return bytes;
}
