#include "fovea/reward/format.h"

#include "fovea/io/json.h"

#include <string.h>

typedef struct tag_pair {
    const char *open, *close;
} tag_pair;
static const tag_pair think_tag = {"<think>", "</think>"};
static const tag_pair answer_tag = {"<answer>", "</answer>"};
static const tag_pair call_tag = {"<tool_call>", "</tool_call>"};

static int has(fv_slice text, const char *part)
{
    return fv_slice_find(text, fv_slice_of(part)) != FV_SLICE_NONE;
}

static int has_tags(fv_slice text, const tag_pair *tag)
{
    return has(text, tag->open) || has(text, tag->close);
}

static int is_blank(fv_slice text)
{
    return fv_slice_trim(text).size == 0;
}

static int is_string(const fv_json *value, const char *expected)
{
    const char *text;
    size_t size;
    return value && fv_json_kind_of(value) == FV_JSON_STRING &&
           fv_json_to_string(value, "", &text, &size) == FV_OK &&
           fv_slice_equal((fv_slice){text, size}, fv_slice_of(expected));
}

/* What is wrong with a call, or NULL. */
static const char *call_fault(const fv_json *call)
{
    const fv_json *arguments = fv_json_get(call, "arguments");
    if (fv_json_kind_of(call) != FV_JSON_OBJECT)
        return "The tool call is not a JSON object.";
    if (!fv_json_get(call, "name"))
        return "The tool call has no \"name\".";
    if (!is_string(fv_json_get(call, "name"), "resize_image"))
        return "The tool call names an unknown tool; the only one is \"resize_image\".";
    if (!arguments || fv_json_kind_of(arguments) != FV_JSON_OBJECT)
        return "The tool call has no \"arguments\" that are a JSON object.";
    if (!is_string(fv_json_get(arguments, "action"), "resize"))
        return "The argument \"action\" must be \"resize\".";
    return NULL;
}

static const char *json_fault(fv_slice text)
{
    fv_json *call;
    if (fv_json_parse(text.data, text.size, "tool call", &call) != FV_OK)
        return "The tool call is not valid JSON.";
    const char *fault = call_fault(call);
    fv_json_destroy(call);
    return fault;
}

fv_parsed_turn fv_turn_parse(fv_slice text)
{
    size_t answer = fv_slice_find_last(text, fv_slice_of(answer_tag.open));
    size_t call = fv_slice_find_last(text, fv_slice_of(call_tag.open));
    if (call == FV_SLICE_NONE || (answer != FV_SLICE_NONE && answer > call))
        return (fv_parsed_turn){answer == FV_SLICE_NONE ? FV_TURN_NEITHER : FV_TURN_ANSWER, NULL};
    fv_slice rest = fv_slice_cut(text, call + strlen(call_tag.open), text.size);
    size_t end = fv_slice_find(rest, fv_slice_of(call_tag.close));
    if (end == FV_SLICE_NONE)
        return (fv_parsed_turn){FV_TURN_BAD_CALL, "The tool call is not closed by </tool_call>."};
    const char *fault = json_fault(fv_slice_cut(rest, 0, end));
    return (fv_parsed_turn){fault ? FV_TURN_BAD_CALL : FV_TURN_CALL, fault};
}

int fv_turns_called(const fv_slice *turns, int n_turns)
{
    for (int i = 0; i < n_turns; i++)
        if (has(turns[i], call_tag.open))
            return 1;
    return 0;
}

/* Where a pair stands, tags included: [first, end). */
typedef struct span {
    size_t first, end;
} span;

/* Whether both tags occur exactly once, in order. */
static int find_only_pair(fv_slice text, const tag_pair *tag, span *out)
{
    fv_slice open = fv_slice_of(tag->open), close = fv_slice_of(tag->close);
    size_t first = fv_slice_find(text, open), last = fv_slice_find(text, close);
    *out = (span){first, last + close.size};
    return first != FV_SLICE_NONE && last != FV_SLICE_NONE && first < last &&
           fv_slice_find_last(text, open) == first && fv_slice_find_last(text, close) == last;
}

/* Whether text is one think pair that begins it, later one pair of the given tag that ends it. */
static int is_thought_and(fv_slice text, const tag_pair *tag, span *thought, span *pair)
{
    return find_only_pair(text, &think_tag, thought) && find_only_pair(text, tag, pair) &&
           thought->end <= pair->first && is_blank(fv_slice_cut(text, 0, thought->first)) &&
           is_blank(fv_slice_cut(text, pair->end, text.size));
}

static int is_general(fv_slice text)
{
    span thought, answer;
    return is_thought_and(text, &answer_tag, &thought, &answer) &&
           is_blank(fv_slice_cut(text, thought.end, answer.first));
}

static int is_direct_answer(fv_slice text)
{
    span thought, answer;
    return is_thought_and(text, &answer_tag, &thought, &answer) && !has_tags(text, &call_tag);
}

static int is_call(fv_slice text, int needs_valid_call)
{
    span thought, call;
    return is_thought_and(text, &call_tag, &thought, &call) && !has_tags(text, &answer_tag) &&
           (!needs_valid_call || fv_turn_parse(text).act == FV_TURN_CALL);
}

int fv_format_score(const fv_format_settings *settings, const fv_slice *turns, int n_turns)
{
    if (n_turns < 1)
        return 0;
    if (settings->product == FV_PRODUCT_GENERAL)
        return n_turns == 1 && is_general(turns[0]);
    for (int i = 0; i < n_turns - 1; i++)
        if (!is_call(turns[i], settings->needs_valid_call))
            return 0;
    return is_direct_answer(turns[n_turns - 1]);
}

const char *const fv_extraction_names[] = {
    [FV_EXTRACT_SPLIT] = "split", [FV_EXTRACT_STRICT] = "strict", [FV_EXTRACT_NONE] = "none", NULL};

fv_slice fv_answer_extract(fv_extraction how, fv_slice text)
{
    if (how == FV_EXTRACT_NONE)
        return fv_slice_trim(text);
    size_t open = fv_slice_find_last(text, fv_slice_of(answer_tag.open));
    if (open != FV_SLICE_NONE)
        text = fv_slice_cut(text, open + strlen(answer_tag.open), text.size);
    size_t close = fv_slice_find(text, fv_slice_of(answer_tag.close));
    if (how == FV_EXTRACT_STRICT && (open == FV_SLICE_NONE || close == FV_SLICE_NONE))
        return fv_slice_cut(text, 0, 0);
    return fv_slice_trim(close == FV_SLICE_NONE ? text : fv_slice_cut(text, 0, close));
}
