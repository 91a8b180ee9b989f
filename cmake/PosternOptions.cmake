# Options and the flags that every target of ours gets.

option(POSTERN_TESTS "Build the tests" ON)
option(POSTERN_BENCH "Build the benchmarks" OFF)
option(POSTERN_FUZZ "Build the libFuzzer targets with the fuzzing engine (needs clang)" OFF)
option(POSTERN_OPTIMIZE_DEBUG "Compile debug builds with -O1: sanitizers and simulations run several times faster" OFF)
set(POSTERN_SANITIZE "" CACHE STRING "Value of -fsanitize=, for example address,undefined")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_CXX_FLAGS_DEBUG "-g1")
set(CMAKE_C_FLAGS_DEBUG "-g1")
# Everything is -fPIC: one set of objects serves the shared library, the programs and one precompiled header.
add_compile_options(-fPIC)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Unique symbols (statics of templates and inline functions) can be made neither hidden nor local: libpostern.a would share
  # them with a program that uses Asio too, and libpostern.so could not be unloaded.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fno-gnu-unique>)
endif()
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")

find_program(POSTERN_CCACHE ccache)
if(POSTERN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers are cached only with these allowances; the PCH itself is part of the hash. With the base folder, a second
  # checkout finds what the first one compiled.
  set(CMAKE_C_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${POSTERN_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_C_COMPILER_LAUNCHER}")
endif()

add_library(postern_flags INTERFACE)
target_compile_options(postern_flags INTERFACE
  -Wall -Wextra -Wshadow -Werror=return-type
  $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual;-Wnon-virtual-dtor>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 warns about its own coroutine frames and std::string internals at -O2 (GCC bugs 105329, 105562).
  target_compile_options(postern_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fcoroutines -Wno-restrict -Wno-maybe-uninitialized -Wno-missing-field-initializers>)
  # At -O3 it sees overflows in std::string's own code that cannot be (GCC bugs 105651, 107852).
  target_compile_options(postern_flags INTERFACE
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>)
else()
  target_compile_options(postern_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-missing-field-initializers>)
endif()
if(POSTERN_OPTIMIZE_DEBUG)
  target_compile_options(postern_flags INTERFACE -O1)
endif()
if(POSTERN_SANITIZE)
  add_compile_options(-fsanitize=${POSTERN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${POSTERN_SANITIZE})
  if(POSTERN_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Asio's fences are beyond ThreadSanitizer's understanding; it says so at each of them.
    # With the checks woven in, GCC 12 also sees overflows in std::string that cannot be.
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wno-tsan;-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>")
  endif()
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # Its check of indirect calls puts data before each function, which clang 14 cannot do for the parts of a coroutine
    # ("Cannot represent a difference across sections").
    add_compile_options(-fno-sanitize=function)
    # A program in C links the shared library, which needs the C++ half of the sanitizer's runtime.
    add_link_options("$<$<LINK_LANGUAGE:C>:SHELL:-fsanitize-link-c++-runtime -lstdc++>")
  endif()
endif()
if(POSTERN_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
