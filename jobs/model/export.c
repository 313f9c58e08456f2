/* fovea export: a model folder written again, in another number format or form. */
#include "jobs/jobs.h"
#include "jobs/option.h"
#include "jobs/terminal.h"
#include "fovea/model/hf/folder.h"
#include "fovea/model/hf/small_files.h"

#include <limits.h>

typedef struct export_options {
    const char *model, *out;
    fv_dtype dtype; /* FV_N_DTYPES: that of the folder */
    fv_folder_style style;
    int64_t shard_bytes;
} export_options;

enum { KEY_MODEL = 256, KEY_OUT, KEY_DTYPE, KEY_SHARD, KEY_STYLE };

static const struct argp_option options[] = {
    {"model", KEY_MODEL, "DIR", 0, "the folder or checkpoint to read (required; DIR alone will do)", 0},
    {"out", KEY_OUT, "DIR", 0, "the folder to write: new, or empty (required)", 0},
    {"dtype", KEY_DTYPE, "TYPE", 0, "fp32, fp16 or bf16; default: that of the folder's embedding", 0},
    {"shard-bytes", KEY_SHARD, "N", 0, "cut files of more than N bytes; default: 5000000000", 0},
    {"style", KEY_STYLE, "FORM", 0,
     "4: names and config.json of transformers 4; 5: of transformers 5; keep (default): as they are", 0},
    {0}};

static const char *const styles[] = {"keep", "4", "5", NULL};
static const fv_option table[] = {
    {KEY_MODEL, FV_OPTION_PATH, offsetof(export_options, model)},
    {KEY_OUT, FV_OPTION_PATH, offsetof(export_options, out)},
    {KEY_DTYPE, FV_OPTION_DTYPE, offsetof(export_options, dtype)},
    {KEY_SHARD, FV_OPTION_INTEGER, offsetof(export_options, shard_bytes), .low = 1, .high = LONG_MAX},
    {KEY_STYLE, FV_OPTION_CHOICE, offsetof(export_options, style), .low = FV_FOLDER_KEEP, .names = styles},
    {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    export_options *out = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (out->model)
            return ARGP_ERR_UNKNOWN;
        out->model = fv_parse_path(state, "DIR", text);
        return 0;
    case ARGP_KEY_END:
        if (!out->model || !out->out)
            argp_error(state, "--model and --out are required");
        return 0;
    default:
        return fv_option_set(table, options, key, text, state, out);
    }
}

static fv_err read_rows(void *context, int param, int64_t first, int64_t n, float *out)
{
    return fv_folder_read_rows(context, param, first, n, out);
}

static fv_err export_folder(const export_options *with)
{
    fv_folder folder;
    FV_TRY(fv_folder_check_links(with->model));
    FV_TRY(fv_folder_open(with->model, &folder));
    fv_folder_write_args args = {.shape = &folder.shape,
                                 .generation = &folder.generation,
                                 .source = &folder,
                                 .style = with->style,
                                 .dtype = with->dtype == FV_N_DTYPES ? folder.dtype : with->dtype,
                                 .max_shard_bytes = with->shard_bytes,
                                 .writes = 1,
                                 .rows = read_rows,
                                 .context = &folder};
    fv_err err = fv_folder_write(with->out, &args);
    fv_folder_close(&folder);
    return err;
}

int fv_job_export(int argc, char **argv)
{
    export_options with = {
        .dtype = FV_N_DTYPES, .style = FV_FOLDER_KEEP, .shard_bytes = FV_FOLDER_SHARD_BYTES};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[DIR]",
        .doc = "Write a model folder again, or a checkpoint's weights as a model folder: in another number "
               "format, with the names and the configuration of another version of the transformers library, "
               "in one file or several. Numbers are rounded to nearest; a number that fp16 cannot hold is an "
               "error."};
    fv_terminal_parse(&argp, argc, argv, &with);
    return fv_job_finish(export_folder(&with));
}
