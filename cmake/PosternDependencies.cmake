# Third-party libraries, all from Debian 12 (ARCHITECTURE.md says why each). Nothing here may link OpenSSL.

option(POSTERN_PCH "Precompile the standard and Abseil headers" ON)

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(absl REQUIRED)
pkg_check_modules(SQLITE3 REQUIRED IMPORTED_TARGET sqlite3>=3.40)
pkg_check_modules(RE2 REQUIRED IMPORTED_TARGET re2)
pkg_check_modules(ICU REQUIRED IMPORTED_TARGET icu-uc icu-i18n)
pkg_check_modules(GUMBO REQUIRED IMPORTED_TARGET gumbo)
pkg_check_modules(CRYPT REQUIRED IMPORTED_TARGET libcrypt)
pkg_check_modules(ARGON2 REQUIRED IMPORTED_TARGET libargon2)
find_package(ZLIB REQUIRED)
pkg_check_modules(PSL REQUIRED IMPORTED_TARGET libpsl)
pkg_check_modules(EXPAT REQUIRED IMPORTED_TARGET expat)

# libunbound's .pc file asks for libevent's, which its -dev package does not bring: found by hand.
find_library(UNBOUND_LIBRARY unbound REQUIRED)
find_path(UNBOUND_INCLUDE_DIR unbound-event.h REQUIRED)
add_library(postern_unbound INTERFACE)
target_link_libraries(postern_unbound INTERFACE "${UNBOUND_LIBRARY}")

# Asio is headers only. It is used by lib/rt/asio and nothing else.
find_path(ASIO_INCLUDE_DIR asio.hpp REQUIRED)
add_library(postern_asio INTERFACE)
target_include_directories(postern_asio SYSTEM INTERFACE "${ASIO_INCLUDE_DIR}")
target_compile_definitions(postern_asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED ASIO_NO_TYPEID)
target_link_libraries(postern_asio INTERFACE Threads::Threads)

include(BoringSSL)

if(POSTERN_TESTS)
  find_package(GTest REQUIRED)
endif()
if(POSTERN_BENCH)
  find_package(benchmark REQUIRED)
endif()
