#include "fovea/base/text/slice.h"

#include <string.h>

fv_slice fv_slice_of(const char *string)
{
    return (fv_slice){string, strlen(string)};
}

fv_slice fv_slice_cut(fv_slice text, size_t first, size_t end)
{
    return (fv_slice){first ? text.data + first : text.data, end - first}; /* NULL + 0 is undefined */
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

fv_slice fv_slice_trim(fv_slice text)
{
    size_t first = 0, end = text.size;
    while (first < end && is_space(text.data[first]))
        first++;
    while (end > first && is_space(text.data[end - 1]))
        end--;
    return fv_slice_cut(text, first, end);
}

int fv_slice_equal(fv_slice a, fv_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

int fv_slice_starts(fv_slice text, fv_slice start)
{
    return text.size >= start.size && fv_slice_equal(fv_slice_cut(text, 0, start.size), start);
}

size_t fv_slice_find(fv_slice text, fv_slice part)
{
    const char *found = text.size ? memmem(text.data, text.size, part.data, part.size) : NULL;
    return found ? (size_t)(found - text.data) : FV_SLICE_NONE;
}

size_t fv_slice_find_last(fv_slice text, fv_slice part)
{
    for (size_t end = text.size; end >= part.size; end--)
        if (memcmp(text.data + end - part.size, part.data, part.size) == 0)
            return end - part.size;
    return FV_SLICE_NONE;
}
