/* A safetensors file from anywhere: no byte may lead outside the file. */
#include "fovea/io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fv_safetensors file;
    if (fv_safetensors_parse(data, size, "input", &file) != FV_OK)
        return 0;
    for (size_t i = 0; i < file.n; i++) {
        const fv_safetensor *item = &file.items[i];
        volatile uint8_t last = item->bytes ? item->data[item->bytes - 1] : 0;
        (void)last;
        if (fv_safetensors_find(&file, item->name) != item)
            __builtin_trap();
    }
    fv_safetensors_close(&file);
    return 0;
}
