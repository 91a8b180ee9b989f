# postern_layer declares one layer of the house: a folder, its sources and what it may use.
#
#   postern_layer(NAME core/smtp            # the folder under lib/, and the layer's name
#                 SOURCES server_session.cc …
#                 DEPS core/base core/mail  # layers below, the only ones whose headers it may include
#                 LINKS absl::status …)     # third-party libraries
#
# The target is the static library postern_core_smtp; libpostern is made of the objects of all of them.
# tools/dev/check_layers.py reads these calls and compares every #include with them.

set_property(GLOBAL PROPERTY POSTERN_LAYERS "")

function(postern_layer)
  cmake_parse_arguments(L "" "NAME" "SOURCES;DEPS;LINKS" ${ARGN})
  if(NOT L_NAME OR NOT L_SOURCES)
    message(FATAL_ERROR "postern_layer wants NAME and SOURCES")
  endif()
  string(REPLACE "/" "_" target "postern_${L_NAME}")
  set(deps "")
  foreach(dep IN LISTS L_DEPS)
    string(REPLACE "/" "_" dep_target "postern_${dep}")
    list(APPEND deps ${dep_target})
  endforeach()
  add_library(${target} STATIC ${L_SOURCES})
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")
  target_link_libraries(${target} PRIVATE postern_flags PUBLIC ${deps} ${L_LINKS})
  if(POSTERN_PCH)
    if(TARGET postern_core_base AND NOT L_NAME STREQUAL "core/base")
      target_precompile_headers(${target} REUSE_FROM postern_core_base)
    else()
      target_precompile_headers(${target} PRIVATE "${PROJECT_SOURCE_DIR}/cmake/pch.h")
    endif()
  endif()
  set_property(GLOBAL APPEND PROPERTY POSTERN_LAYERS ${L_NAME})
endfunction()

# postern_test declares one test program: of GoogleTest, or with the main of another library.
#
#   postern_test(NAME core_smtp_test LABEL unit SOURCES … LAYERS core/smtp [LINKS …] [TIMEOUT seconds]
#                [MAIN library-with-main] [ARGS …])
#
# `ctest -L <label>` runs a kind of test; `tests/run <label>` is the short way.
function(postern_test)
  cmake_parse_arguments(T "" "NAME;LABEL;TIMEOUT;MAIN" "SOURCES;LAYERS;LINKS;ARGS" ${ARGN})
  if(NOT T_MAIN)
    set(T_MAIN GTest::gtest GTest::gmock GTest::gtest_main)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  set(layers "")
  foreach(layer IN LISTS T_LAYERS)
    string(REPLACE "/" "_" layer_target "postern_${layer}")
    list(APPEND layers ${layer_target})
  endforeach()
  add_executable(${T_NAME} ${T_SOURCES})
  target_link_libraries(${T_NAME} PRIVATE postern_flags ${layers} ${T_MAIN} ${T_LINKS})
  if(POSTERN_PCH)
    target_precompile_headers(${T_NAME} REUSE_FROM postern_core_base)
  endif()
  add_test(NAME ${T_NAME} COMMAND ${T_NAME} ${T_ARGS})
  set_tests_properties(${T_NAME} PROPERTIES LABELS "${T_LABEL}" TIMEOUT ${T_TIMEOUT})
endfunction()
