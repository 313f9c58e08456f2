/* fovea pack: a data set in one file, from rows of JSON, a synthetic set, or the best rows of another. */
#include "jobs/jobs.h"
#include "jobs/option.h"
#include "jobs/pack/select.h"
#include "jobs/terminal.h"

#include "fovea/data/dataset.h"
#include "fovea/data/synthetic/glance.h"
#include "fovea/eval/task.h"
#include "fovea/base/log.h"
#include "fovea/base/meter.h"
#include "fovea/base/process/stop.h"
#include "fovea/data/synthetic/print.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct synthetic_set {
    const char *name;
    fv_err (*row)(uint64_t seed, uint64_t number, fv_row *out);
} synthetic_set;

static const synthetic_set synthetic_sets[] = {{"glance", fv_glance_row}, {"print", fv_print_row}};

typedef struct pack_options {
    const char *jsonl, *out, *task;
    const char *merge; /* the pack to write of shards; NULL: none */
    const synthetic_set *synthetic;
    fv_pack_select_options select; /* config NULL: no selection */
    fv_row_fields fields;
    int skip_bad, has_json_option, has_synthetic_option, has_select_option;
    long rows, seed;
} pack_options;

enum {
    KEY_OUT = 256,
    KEY_JSONL, /* its options follow */
    KEY_IMAGES,
    KEY_SKIP,
    KEY_LIMIT,
    KEY_QUESTION,
    KEY_QUESTION_FIELD,
    KEY_ANSWER,
    KEY_TASK,
    KEY_SYNTHETIC, /* its options follow */
    KEY_ROWS,
    KEY_SEED,
    KEY_SELECT, /* its options follow */
    KEY_GAIN,
    KEY_SHARD,
    KEY_END,
    KEY_MERGE
};

static const struct argp_option options[] = {
    {"out", KEY_OUT, "PACK.h5", 0, "the file to write; an older one is replaced when all is well (required)",
     1},
    {0, 0, 0, 0, "Rows from JSON:", 2},
    {"jsonl", KEY_JSONL, "FILE", 0, "a JSON object a line; -: standard input", 2},
    {"images", KEY_IMAGES, "DIR", 0, "where paths of images start; default: the current folder", 2},
    {"question-field", KEY_QUESTION_FIELD, "NAME", 0, "default: problem, else question", 2},
    {"question", KEY_QUESTION, "TEXT", 0, "ask this about every row", 2},
    {"answer-field", KEY_ANSWER, "NAME", 0, "default: original_answer, else solution, else answer", 2},
    {"task", KEY_TASK, "FILE", 0,
     "a benchmark of configs/eval: its fields, with options and hint around the question", 2},
    {"skip-bad", KEY_SKIP, 0, 0, "leave bad rows out and count them; default: refuse", 2},
    {"limit", KEY_LIMIT, "N", 0, "stop after N rows", 2},
    {0, 0, 0, 0, "Synthetic rows:", 3},
    {"synthetic", KEY_SYNTHETIC, "NAME", 0,
     "glance: a digit in an image of 56 x 56 pixels; print: pages with text, tables and charts (needs "
     "pango). A "
     "quarter of the rows cannot be read at half size",
     3},
    {"rows", KEY_ROWS, "N", 0, "how many", 3},
    {"seed", KEY_SEED, "N", 0, "other seeds give other rows; default: 0", 3},
    {0, 0, 0, 0, "Rows worth training on:", 4},
    {"select", KEY_SELECT, "CONFIG", 0,
     "answer the rows of data.train rollout.samples times from either view, as this configuration of "
     "training "
     "says, and keep those that the low-resolution view is always enough for and those that need the "
     "high-resolution one",
     4},
    {"gain", KEY_GAIN, "N", 0, "right answers that the high-resolution view must add; default: 6", 4},
    {"shard", KEY_SHARD, "I/N", 0,
     "only every N-th row, from the I-th; --out is then a file of lines, to be merged with those of the "
     "others",
     4},
    {"merge", KEY_MERGE, "PACK.h5", 0,
     "write the pack of all shards, whose files follow; nothing is answered", 4},
    {0}};

static error_t check_options(struct argp_state *state, const pack_options *o)
{
    const fv_pack_select_options *select = &o->select;
    if (o->merge && (o->out || o->jsonl || o->synthetic || select->config || o->has_select_option))
        argp_error(state, "--merge PACK.h5 goes with the files of shards alone");
    if (o->merge && select->n_overrides == 0)
        argp_error(state, "--merge PACK.h5 needs the files of the shards");
    if (o->merge)
        return 0;
    if (!o->out)
        argp_error(state, "--out PACK.h5 is required");
    if ((o->jsonl != NULL) + (o->synthetic != NULL) + (select->config != NULL) != 1)
        argp_error(state, "give --jsonl FILE, --synthetic NAME or --select CONFIG");
    if ((!o->jsonl && o->has_json_option) || (!o->synthetic && o->has_synthetic_option) ||
        (!select->config && o->has_select_option))
        argp_error(state, "--rows and --seed go with --synthetic, --gain and --shard with --select, all but "
                          "--out with --jsonl");
    if (!select->config && select->n_overrides)
        argp_error(state, "unexpected argument \"%s\"", select->overrides[0]);
    if (o->synthetic && o->rows == 0)
        argp_error(state, "--synthetic needs --rows N");
    if (o->fields.question && o->fields.question_name)
        argp_error(state, "--question and --question-field exclude each other");
    if (o->task && (o->fields.question || o->fields.question_name || o->fields.answer_name))
        argp_error(state,
                   "--task names the fields: leave out --question, --question-field and --answer-field");
    return 0;
}

static const synthetic_set *find_set(struct argp_state *state, const char *name)
{
    for (size_t i = 0; i < sizeof synthetic_sets / sizeof *synthetic_sets; i++)
        if (strcmp(synthetic_sets[i].name, name) == 0)
            return &synthetic_sets[i];
    argp_error(state, "there is no synthetic set \"%s\"; glance or print", name);
    return NULL;
}

#define AT(member) offsetof(pack_options, member)
static const fv_option table[] = {{KEY_OUT, FV_OPTION_PATH, AT(out)},
                                  {KEY_JSONL, FV_OPTION_PATH, AT(jsonl)},
                                  {KEY_IMAGES, FV_OPTION_PATH, AT(fields.folder)},
                                  {KEY_SKIP, FV_OPTION_FLAG, AT(skip_bad)},
                                  {KEY_LIMIT, FV_OPTION_LONG, AT(rows), .low = 1, .high = LONG_MAX},
                                  {KEY_QUESTION, FV_OPTION_TEXT, AT(fields.question)},
                                  {KEY_QUESTION_FIELD, FV_OPTION_TEXT, AT(fields.question_name)},
                                  {KEY_ANSWER, FV_OPTION_TEXT, AT(fields.answer_name)},
                                  {KEY_TASK, FV_OPTION_PATH, AT(task)},
                                  {KEY_ROWS, FV_OPTION_LONG, AT(rows), .low = 1, .high = LONG_MAX},
                                  {KEY_SEED, FV_OPTION_LONG, AT(seed), .high = LONG_MAX},
                                  {KEY_SELECT, FV_OPTION_PATH, AT(select.config)},
                                  {KEY_GAIN, FV_OPTION_INT, AT(select.gain), .low = 1, .high = INT_MAX},
                                  {KEY_MERGE, FV_OPTION_PATH, AT(merge)},
                                  {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    pack_options *o = state->input;
    o->has_json_option |= key > KEY_JSONL && key < KEY_SYNTHETIC;
    o->has_synthetic_option |= key > KEY_SYNTHETIC && key < KEY_SELECT;
    o->has_select_option |= key > KEY_SELECT && key < KEY_END;
    switch (key) {
    case KEY_SYNTHETIC:
        return o->synthetic = find_set(state, text), 0;
    case KEY_SHARD:
        return fv_parse_shard(state, text, &o->select.shard, &o->select.n_shards), 0;
    case ARGP_KEY_ARGS:
        o->select.overrides = (const char **)state->argv + state->next;
        o->select.n_overrides = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        return check_options(state, o);
    default:
        return fv_option_set(table, options, key, text, state, o);
    }
}

/* Rows are made in batches: all threads parse and decode one, then it is stored in order. */
enum { BATCH_ROWS = 64, BATCH_BYTES = 1 << 26 /* of lines */, NAMED = 5 /* skipped rows named */ };

typedef struct item {
    char *line; /* owned */
    size_t capacity, size;
    uint64_t number; /* of the line, from 1; of a synthetic row, from 0 */
    fv_row row;
    fv_err err;
    char *reason; /* owned */
} item;

typedef struct packing {
    const pack_options *options;
    fv_task task; /* {0} if there is none */
    fv_row_fields fields;
    const char *name; /* of the input, for messages */
    FILE *in;         /* NULL: synthetic */
    fv_dataset_writer *writer;
    item items[BATCH_ROWS];
    int n_items;
    uint64_t n_begun; /* lines or rows */
    uint64_t n_stored, n_skipped;
    int is_last;
} packing;

static int wants_more(const packing *p)
{
    return !p->options->rows || p->n_stored < (uint64_t)p->options->rows;
}

static int is_blank(const char *line)
{
    return line[strspn(line, " \t\r\n")] == '\0';
}

/* The next line that is not blank. */
static fv_err read_line(packing *p, item *it)
{
    for (;;) {
        errno = 0;
        ssize_t size = getline(&it->line, &it->capacity, p->in);
        FV_CHECK(size >= 0 || (feof(p->in) && !errno), FV_ERR_IO, "cannot read %s: %s", p->name,
                 strerror(errno));
        p->is_last = size < 0;
        it->number = ++p->n_begun;
        it->size = p->is_last ? 0 : (size_t)size;
        if (p->is_last || strlen(it->line) != it->size || !is_blank(it->line))
            return FV_OK;
    }
}

static fv_err read_batch(packing *p)
{
    size_t bytes = 0;
    for (p->n_items = 0; p->n_items < BATCH_ROWS && bytes < BATCH_BYTES && !p->is_last; p->n_items++) {
        item *it = &p->items[p->n_items];
        if (p->in) {
            FV_TRY(read_line(p, it));
            if (p->is_last)
                return FV_OK;
            bytes += it->size;
        } else {
            it->number = p->n_begun++;
            p->is_last = p->n_begun == (uint64_t)p->options->rows;
        }
    }
    return FV_OK;
}

static void make_row(const packing *p, item *it)
{
    it->err = p->in ? fv_row_parse(it->line, it->size, &p->fields, &it->row)
                    : p->options->synthetic->row((uint64_t)p->options->seed, it->number, &it->row);
    it->reason = it->err == FV_OK ? NULL : strdup(fv_error_text()); /* the record is this thread's */
}

static fv_err skip(packing *p, const item *it)
{
    const char *reason = it->reason ? it->reason : fv_err_name(it->err);
    unsigned long long number = it->number;
    FV_CHECK(it->err != FV_ERR_MEMORY, it->err, "%s:%llu: %s", p->name, number, reason);
    FV_CHECK(p->options->skip_bad, it->err,
             "%s:%llu: %s; nothing was written (--skip-bad leaves bad rows out)", p->name, number, reason);
    if (p->n_skipped++ < NAMED)
        FV_LOG_ROOT(WARN, "skipped %s:%llu: %s", p->name, number, reason);
    return FV_OK;
}

static fv_err store_batch(packing *p)
{
    for (int i = 0; i < p->n_items && wants_more(p); i++) {
        if (p->items[i].err != FV_OK) {
            FV_TRY(skip(p, &p->items[i]));
            continue;
        }
        FV_TRY(fv_dataset_append(p->writer, &p->items[i].row));
        p->n_stored++;
    }
    return FV_OK;
}

static void release_batch(packing *p)
{
    for (int i = 0; i < p->n_items; i++) {
        fv_row_fini(&p->items[i].row);
        free(p->items[i].reason);
        p->items[i].reason = NULL;
    }
}

static fv_err pack_rows(packing *p)
{
    int is_stopped = 0;
    fv_err err = FV_OK;
    fv_meter_start(NULL, 0, 0);
    fv_meter_phase("rows", p->options->rows);
    while (!p->is_last && wants_more(p) && err == FV_OK && !(is_stopped = fv_stop_requested())) {
        FV_TRY(read_batch(p));
#pragma omp parallel for schedule(dynamic)
        for (int i = 0; i < p->n_items; i++)
            make_row(p, &p->items[i]);
        err = store_batch(p);
        release_batch(p);
        fv_meter_at((int64_t)p->n_stored, 0);
    }
    fv_meter_stop();
    FV_TRY(err);
    FV_CHECK(!is_stopped, FV_STOPPED, "interrupted after %llu rows; nothing was written",
             (unsigned long long)p->n_stored);
    FV_CHECK(p->n_stored > 0, FV_ERR_FORMAT, "%s: no row to pack (%llu skipped); nothing was written",
             p->name, (unsigned long long)p->n_skipped);
    return FV_OK;
}

static fv_err open_input(packing *p)
{
    if (p->options->synthetic)
        return FV_OK;
    int is_stdin = strcmp(p->options->jsonl, "-") == 0;
    p->name = is_stdin ? "standard input" : p->options->jsonl;
    p->in = is_stdin ? stdin : fopen(p->options->jsonl, "r");
    FV_CHECK(p->in, FV_ERR_IO, "cannot open %s: %s", p->name, strerror(errno));
    return FV_OK;
}

static void close_packing(packing *p)
{
    for (int i = 0; i < BATCH_ROWS; i++)
        free(p->items[i].line);
    if (p->in && p->in != stdin)
        fclose(p->in);
    fv_dataset_abandon(p->writer);
    fv_task_fini(&p->task);
}

static fv_err commit(packing *p)
{
    fv_dataset_totals totals;
    fv_dataset_writer *writer = p->writer;
    p->writer = NULL;
    FV_TRY(fv_dataset_commit(writer, &totals));
    printf("%s: %llu rows, %llu images (%llu distinct, %llu bytes), %llu rows skipped\n", p->options->out,
           (unsigned long long)totals.rows, (unsigned long long)totals.images,
           (unsigned long long)totals.distinct, (unsigned long long)totals.bytes,
           (unsigned long long)p->n_skipped);
    return FV_OK;
}

static const char *name_or_usual(const char *name)
{
    return name[0] ? name : NULL;
}

static fv_err load_task(packing *p)
{
    const fv_task_data *data = &p->task.data;
    if (!p->options->task)
        return FV_OK;
    FV_TRY(fv_task_load(p->options->task, NULL, 0, &p->task));
    p->fields.question_name = name_or_usual(data->question);
    p->fields.answer_name = name_or_usual(data->answer);
    p->fields.image_name = name_or_usual(data->image);
    p->fields.is_base64 = data->base64;
    p->fields.hint_name = data->hint;
    p->fields.option_names = data->options;
    p->fields.ask = data->ask;
    return FV_OK;
}

static fv_err pack(const pack_options *o)
{
    packing p = {.options = o, .name = o->synthetic ? o->synthetic->name : NULL, .fields = o->fields};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_stop_on_interrupt());
    FV_TRY_DONE(load_task(&p));
    FV_TRY_DONE(open_input(&p));
    FV_TRY_DONE(fv_dataset_create(o->out, &p.writer));
    FV_TRY_DONE(pack_rows(&p));
    FV_TRY_DONE(commit(&p));
done:
    close_packing(&p);
    return err;
}

int fv_job_pack(int argc, char **argv)
{
    pack_options o = {.fields.folder = ".", .select = {.gain = 6, .shard = 1, .n_shards = 1}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "\n--select CONFIG [KEY=VALUE...]\n--merge PACK.h5 SHARD...",
        .doc =
            "Check rows of questions, answers and images, and write them into one HDF5 file. Every image is "
            "decoded first; a bad row is named with its line and the reason. Or pick from such a file the "
            "rows that are worth training on; mpirun shares the work out.\v"
            "A row is a JSON object: \"problem\" (each \"<image>\" in it is taken out), \"images\" (at most "
            "one: "
            "a path, or {\"base64\": ...}), \"original_answer\" (or a list of accepted ones; of a worked "
            "solution "
            "the answer proper is taken); optional: \"data_source\", and \"info\" with tgt_width "
            "and tgt_height, the size of the low-resolution view. All other fields are kept. "
            "jobs/rows_from_parquet.py prints such rows from Parquet and Arrow files. Rows that are picked "
            "get the fields \"selected\" (low or high), \"samples\", \"low_right\" and \"high_right\"; rows "
            "without "
            "an image, or with an answer that got no verdict, are left out. A selection that was stopped or "
            "killed goes on when it is started again: what it knows is in PACK.h5.selection."};
    fv_terminal_parse(&argp, argc, argv, &o);
    o.select.out = o.merge ? o.merge : o.out;
    if (o.merge)
        return fv_pack_merge(&o.select);
    if (o.select.config)
        return fv_pack_select(&o.select);
    return fv_job_finish(pack(&o));
}
