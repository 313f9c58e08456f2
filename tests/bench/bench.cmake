# Benchmarks: one program a file, bench_<stem>; run by hand.
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
foreach(source IN LISTS sources)
  get_filename_component(stem ${source} NAME_WE)
  add_executable(bench_${stem} ${source})
  target_include_directories(bench_${stem} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(bench_${stem} PRIVATE fovea_core)
endforeach()
