/* A line of samples.jsonl from anywhere: one that is accepted prints as a line that reads and prints the
 * same. */
#include "fovea/eval/record.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int holds)
{
    if (!holds)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fv_record record, again;
    fv_buffer line = {0}, same = {0};
    if (fv_record_parse((const char *)data, size, "input", &record) != FV_OK)
        return 0;
    expect(fv_record_print(&record, &line) == FV_OK);
    expect(fv_record_parse(line.data, line.size, "printed", &again) == FV_OK);
    expect(fv_record_print(&again, &same) == FV_OK);
    expect(line.size == same.size && memcmp(line.data, same.data, line.size) == 0);
    fv_record_fini(&record);
    fv_record_fini(&again);
    fv_buffer_fini(&line);
    fv_buffer_fini(&same);
    return 0;
}
