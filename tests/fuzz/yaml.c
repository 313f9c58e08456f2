/* A YAML document from anywhere; one that is accepted prints as JSON and has a line for each member. */
#include "fovea/io/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fv_yaml *yaml = NULL;
    fv_buffer text = {0};
    if (fv_yaml_parse((const char *)data, size, "input", &yaml) != FV_OK)
        return 0;
    const fv_json *root = fv_yaml_root(yaml);
    if (fv_json_kind_of(root) == FV_JSON_OBJECT)
        for (void *i = fv_json_first(root); i; i = fv_json_next(root, i))
            if (fv_yaml_line(yaml, root, fv_json_key(i), 0) < 1)
                __builtin_trap();
    if (fv_json_print(root, 0, &text) != FV_OK)
        __builtin_trap();
    fv_buffer_fini(&text);
    fv_yaml_destroy(yaml);
    return 0;
}
