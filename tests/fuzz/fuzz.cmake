# Every tests/fuzz/NAME.c is a libFuzzer target, run for a few seconds as the test fuzz/NAME. Its seeds are
# in tests/fuzz/corpus/NAME, those of the target image in tests/data/images; what it finds lands beside the
# program in the build tree.
if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
  message(FATAL_ERROR "FOVEA_FUZZ needs clang as the C compiler, found ${CMAKE_C_COMPILER_ID}: "
    "use the preset fuzz")
endif()
add_custom_target(fuzz)
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/*.c)
foreach(source IN LISTS sources)
  get_filename_component(stem ${source} NAME_WE)
  set(found ${CMAKE_CURRENT_BINARY_DIR}/fuzz/${stem})
  set(seeds ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${stem})
  file(MAKE_DIRECTORY ${found}/corpus ${found}/crash)
  if(stem STREQUAL image)
    set(seeds ${CMAKE_CURRENT_SOURCE_DIR}/data/images)
  elseif(NOT EXISTS ${seeds})
    set(seeds "")
  endif()
  add_executable(fuzz_${stem} EXCLUDE_FROM_ALL ${source})
  target_link_libraries(fuzz_${stem} PRIVATE fovea_core)
  target_link_options(fuzz_${stem} PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzz fuzz_${stem})
  fovea_add_test(fuzz/${stem} fuzz fuzz_${stem} -max_total_time=5 -timeout=10 -rss_limit_mb=2048
    -max_len=65536 -seed=1 -print_final_stats=1 -artifact_prefix=${found}/crash/ ${found}/corpus ${seeds})
  set_tests_properties(fuzz/${stem} PROPERTIES ENVIRONMENT "ASAN_OPTIONS=allocator_may_return_null=1")
endforeach()
