#include "fovea/run/judge_room.h"

#include "fovea/model/nn/pages.h"
#include "fovea/model/shape/shape.h"

#include <stdlib.h>

struct fv_judge_room {
    fv_tokenizer *tokenizer; /* owned, as are the next two */
    fv_judge_prompt *prompt;
    fv_judge_tokens tokens;
    int64_t positions; /* of the model */
    int64_t reply_tokens, answer_tokens;
    int cache_pages;
};

static fv_err open_all(fv_judge_room *room, const fv_judge_local_settings *settings, const char *prompt)
{
    fv_model_shape shape;
    FV_TRY(fv_model_shape_load(settings->folder, &shape, NULL));
    room->positions = shape.text.max_positions;
    FV_TRY(fv_tokenizer_load(settings->folder, &room->tokenizer));
    FV_TRY(fv_judge_prompt_load(prompt, &room->prompt));
    return fv_judge_tokens_init(&room->tokens, room->tokenizer, room->prompt, settings->method);
}

fv_err fv_judge_room_open(const fv_judge_local_settings *settings, const char *prompt, int64_t answer_tokens,
                          fv_judge_room **out)
{
    fv_judge_room *room = calloc(1, sizeof *room);
    *out = NULL;
    FV_CHECK(room, FV_ERR_MEMORY, "cannot allocate the room of a judge");
    room->answer_tokens = answer_tokens;
    room->reply_tokens = settings->method == FV_JUDGE_THINK ? settings->reply_tokens : 0;
    room->cache_pages = settings->cache_pages;
    fv_err err = open_all(room, settings, prompt);
    if (err != FV_OK)
        fv_judge_room_close(room);
    else
        *out = room;
    return err;
}

void fv_judge_room_close(fv_judge_room *room)
{
    if (!room)
        return;
    fv_judge_tokens_fini(&room->tokens);
    fv_judge_prompt_destroy(room->prompt);
    fv_tokenizer_destroy(room->tokenizer);
    free(room);
}

/* Of a case of n tokens after the beginning. */
static fv_err add(const fv_judge_room *room, int64_t n, const char *wish, fv_demands *out)
{
    int64_t beginning = (int64_t)room->tokens.fixed[0].n, more = n + room->reply_tokens;
    const fv_demand pages = {"judge.cache_pages",
                             "pages of the judge",
                             fv_pages_for(beginning + more),
                             room->cache_pages,
                             wish,
                             0};
    const fv_demand tokens = {"what judge.model has positions for",
                              "tokens of the judge",
                              beginning + more,
                              room->positions,
                              wish,
                              1};
    FV_TRY(fv_demands_add(out, pages));
    return fv_demands_add(out, tokens);
}

fv_err fv_judge_room_measure(const void *context, const fv_row *row, fv_demands *out)
{
    const fv_judge_room *room = context;
    const fv_slice truth = fv_row_truths(row->answer, row->more_bytes);
    const fv_case asked = {fv_slice_of(row->question), fv_slice_of(row->answer), truth};
    fv_tokens ids = {0};
    fv_err err = fv_judge_tokens_case(&room->tokens, &asked, &ids, NULL, NULL);
    int64_t n = (int64_t)ids.n;
    fv_tokens_fini(&ids);
    FV_TRY(err);
    FV_TRY(add(room, n, NULL, out));
    return add(room, n + room->answer_tokens, "an answer of rollout.max_turn_tokens before the judge", out);
}
