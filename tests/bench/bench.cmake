# Benchmarks: one program a file, bench_<stem>, and shell scripts; tests/bench/run.sh runs them.
add_custom_target(bench)
add_dependencies(bench fovea)
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
foreach(source IN LISTS sources)
  get_filename_component(stem ${source} NAME_WE)
  add_executable(bench_${stem} ${source})
  target_include_directories(bench_${stem} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_compile_definitions(bench_${stem} PRIVATE
    BENCH_SOURCES="${PROJECT_SOURCE_DIR}" BENCH_JUDGE_SERVER="$<TARGET_FILE:judge_server>"
    BENCH_PYTHON="${PROJECT_SOURCE_DIR}/build/torch/bin/python" BENCH_DATA="${CMAKE_CURRENT_BINARY_DIR}/data")
  target_link_libraries(bench_${stem} PRIVATE fovea_core)
  add_dependencies(bench_${stem} judge_server)
  add_dependencies(bench bench_${stem})
endforeach()
