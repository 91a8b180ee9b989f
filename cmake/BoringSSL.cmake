# BoringSSL as static libraries with hidden symbols: the targets postern_boringssl_ssl and
# postern_boringssl_crypto. tools/deps/boringssl builds it once into a cache folder outside the
# tree, for every preset and compiler together (its interface is C, its objects are plain).

set(POSTERN_BORINGSSL_ROOT "" CACHE PATH
  "Folder with BoringSSL's include/, lib/libssl.a and lib/libcrypto.a (empty: build it, or take it from the cache)")

find_package(Threads REQUIRED)

block()
  set(root "${POSTERN_BORINGSSL_ROOT}")
  if(NOT root)
    if(CMAKE_CROSSCOMPILING)
      message(FATAL_ERROR "BoringSSL is built for this machine only: for another, set POSTERN_BORINGSSL_ROOT")
    endif()
    # CC and CXX may be set for this build (clang, a sanitizer's wrapper); the cache takes the system's.
    # Standard error stays the terminal's, for the progress; it is there only when there is work.
    execute_process(
      COMMAND "${CMAKE_COMMAND}" -E env --unset=CC --unset=CXX
              "${CMAKE_CURRENT_LIST_DIR}/../tools/deps/boringssl"
      OUTPUT_VARIABLE root OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE result)
    if(NOT result EQUAL 0)
      message(FATAL_ERROR "tools/deps/boringssl failed, see above")
    endif()
  endif()
  foreach(file include/openssl/is_boringssl.h lib/libssl.a lib/libcrypto.a)
    if(NOT EXISTS "${root}/${file}")
      message(FATAL_ERROR "No BoringSSL in ${root}: ${file} is missing")
    endif()
  endforeach()
  message(STATUS "BoringSSL: ${root}")

  # Imported targets' include folders are SYSTEM ones: our warnings do not reach into them.
  add_library(postern_boringssl_crypto STATIC IMPORTED GLOBAL)
  set_target_properties(postern_boringssl_crypto PROPERTIES
    IMPORTED_LOCATION "${root}/lib/libcrypto.a"
    INTERFACE_INCLUDE_DIRECTORIES "${root}/include"
    INTERFACE_LINK_LIBRARIES Threads::Threads)
  add_library(postern_boringssl_ssl STATIC IMPORTED GLOBAL)
  set_target_properties(postern_boringssl_ssl PROPERTIES
    IMPORTED_LOCATION "${root}/lib/libssl.a"
    IMPORTED_LINK_INTERFACE_LANGUAGES CXX
    INTERFACE_LINK_LIBRARIES postern_boringssl_crypto)
endblock()
