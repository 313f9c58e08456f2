#include "jobs/bench/texts/questions.h"

#include "fovea/base/file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 256 /* ids of the bytes */ };

/* Texts: a tokenizer of one token a byte, whose special tokens are those of the shape. */

static fv_err write_tokenizer(fv_bench_questions *q)
{
    const fv_model_shape *shape = q->texts->shape;
    const fv_added_token special[] = {
        {"<|endoftext|>", shape->eos_ids[1]},     {"<|im_start|>", shape->eos_ids[0] - 1},
        {"<|im_end|>", shape->eos_ids[0]},        {"<|vision_start|>", shape->vision_start_id},
        {"<|vision_end|>", shape->vision_end_id}, {"<|image_pad|>", shape->image_id},
        {"<|video_pad|>", shape->video_id}};
    FV_CHECK(shape->n_eos == 2 && q->texts->first_special >= BYTES, FV_ERR_UNSUPPORTED,
             "a step needs a shape with two ids that end a text, and special ids from %d on", BYTES);
    FV_TRY(fv_tokenizer_write_bytes(q->folder.path, special, sizeof special / sizeof *special));
    return fv_tokenizer_load(q->folder.path, &q->tokenizer);
}

static fv_err write_prompts(fv_bench_questions *q)
{
    static const char wording[] = "system: ''\nuser: '{image} {question}'\n";
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, q->folder.path, "prompts.yaml"));
    FV_TRY(fv_file_write(path, wording, strlen(wording)));
    return fv_prompts_load(path, &q->prompts);
}

static fv_err open_texts(fv_bench_questions *q)
{
    FV_TRY(write_tokenizer(q));
    FV_TRY(fv_chat_init(&q->chat, q->tokenizer));
    return write_prompts(q);
}

/* The data set: a question of as many bytes as the prompt has tokens left, and an image of its own each. */

static fv_err draw_image(const fv_bench_questions *q, int row, fv_row_image *out)
{
    const fv_vision_shape *vision = &q->texts->shape->vision;
    fv_image image;
    int edge = q->texts->high.w * vision->patch;
    FV_TRY(fv_image_init(&image, "an image", edge, edge, FV_IMAGE_MAX_PIXELS));
    for (int64_t i = 0; i < 3LL * edge * edge; i++)
        image.rgb[i] = (uint8_t)(i / 3 % edge / 4 + i / 3 / edge / 4 + 7 * row);
    out->width = out->height = edge;
    fv_err err = fv_image_encode_png(&image, &out->file);
    fv_image_fini(&image);
    return err;
}

static fv_err question_bytes(const fv_bench_questions *q, int64_t *out)
{
    fv_tokens ids = {0};
    const fv_text_part one = {"?", 1, FV_TOKENIZE_PLAIN};
    int64_t of_image = fv_grid_tokens(q->texts->low, q->texts->shape->vision.merge);
    fv_err err = fv_prompts_start(q->prompts, &q->chat, one, of_image, &ids);
    *out = q->prompt - (int64_t)ids.n + 1;
    fv_tokens_fini(&ids);
    FV_TRY(err);
    FV_CHECK(*out > 0, FV_ERR_ARGUMENT,
             "a prompt of %d tokens has no room for an image of %lld and its wording: raise --prompt, or "
             "lower --image",
             q->prompt, (long long)of_image);
    return FV_OK;
}

static fv_err make_row(const fv_bench_questions *q, int number, fv_row *row)
{
    int64_t n;
    FV_TRY(question_bytes(q, &n));
    *row = (fv_row){.question = malloc((size_t)n + 1),
                    .answer = strdup("7"),
                    .source = strdup(""),
                    .extra = strdup("{}"),
                    .images = calloc(1, sizeof *row->images),
                    .n_images = 1};
    FV_CHECK(row->question && row->answer && row->source && row->extra && row->images, FV_ERR_MEMORY,
             "cannot allocate a row");
    for (int64_t i = 0; i < n; i++)
        row->question[i] = (char)('a' + (i * i + number) % 26);
    row->question[n] = '\0';
    row->target = (fv_view_size){q->texts->low.w * q->texts->shape->vision.patch,
                                 q->texts->low.h * q->texts->shape->vision.patch};
    return draw_image(q, number, &row->images[0]);
}

static fv_err add_rows(const fv_bench_questions *q, fv_dataset_writer *writer)
{
    for (int i = 0; i < q->n; i++) {
        fv_row row = {0};
        fv_err err = make_row(q, i, &row);
        if (err == FV_OK)
            err = fv_dataset_append(writer, &row);
        fv_row_fini(&row);
        FV_TRY(err);
    }
    return FV_OK;
}

static fv_err write_dataset(const fv_bench_questions *q, const char *path)
{
    fv_dataset_writer *writer;
    fv_dataset_totals totals;
    FV_TRY(fv_dataset_create(path, &writer));
    fv_err err = add_rows(q, writer);
    if (err == FV_OK)
        return fv_dataset_commit(writer, &totals);
    fv_dataset_abandon(writer);
    return err;
}

static fv_err open_questions(fv_bench_questions *q, int n_threads)
{
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, q->folder.path, "data.h5"));
    FV_TRY(write_dataset(q, path));
    FV_TRY(fv_dataset_open(path, &q->dataset));
    fv_processor_init(&q->processor);
    q->processor.min_pixels = 1;
    q->processor.max_pixels = FV_IMAGE_MAX_PIXELS;
    const fv_view_cache_settings views = {
        .processor = &q->processor, .n_workers = fv_view_workers(n_threads), .max_bytes = (size_t)1 << 32};
    FV_TRY(fv_view_cache_create(&views, &q->views));
    q->builder = (fv_prompt_builder){.dataset = q->dataset,
                                     .processor = &q->processor,
                                     .prompts = q->prompts,
                                     .chat = &q->chat,
                                     .cache = q->views,
                                     .views = {.min_pixels = 1, .max_pixels = FV_IMAGE_MAX_PIXELS},
                                     .first = FV_FIRST_LOW};
    return FV_OK;
}

static fv_err open_all(fv_bench_questions *q, const fv_bench *bench)
{
    FV_TRY(fv_bench_folder_make(&q->folder));
    FV_TRY(open_texts(q));
    return open_questions(q, bench->runtime.backend->n_threads);
}

fv_err fv_bench_questions_init(fv_bench_questions *q, const fv_bench *bench, const fv_bench_texts *texts)
{
    *q = (fv_bench_questions){.texts = texts, .n = bench->options.prompts, .prompt = bench->options.prompt};
    return open_all(q, bench);
}

void fv_bench_questions_fini(fv_bench_questions *q)
{
    fv_view_cache_destroy(q->views);
    fv_dataset_close(q->dataset);
    fv_prompts_destroy(q->prompts);
    fv_tokenizer_destroy(q->tokenizer);
    fv_bench_folder_remove(&q->folder);
    *q = (fv_bench_questions){0};
}
