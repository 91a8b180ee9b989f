# libpostern, shared and static, out of the objects of all layers but the simulation.

get_property(layers GLOBAL PROPERTY POSTERN_LAYERS)
list(REMOVE_ITEM layers rt/sim)
set(objects "")
set(targets "")
foreach(layer IN LISTS layers)
  string(REPLACE "/" "_" target "postern_${layer}")
  list(APPEND targets ${target})
  list(APPEND objects $<TARGET_OBJECTS:${target}>)
endforeach()

# postern_static is what programs of this tree link: the layers as they are.
add_library(postern_static INTERFACE)
target_link_libraries(postern_static INTERFACE postern_capi)
target_include_directories(postern_static INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>")
target_compile_definitions(postern_static INTERFACE POSTERN_STATIC)

# The shared library exports what lib/capi/exports.map names and nothing else: a host may carry its own OpenSSL.
set(exports "${PROJECT_SOURCE_DIR}/lib/capi/exports.map")
add_library(postern_shared SHARED ${objects})
set_target_properties(postern_shared PROPERTIES
  OUTPUT_NAME postern VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LINKER_LANGUAGE CXX LINK_DEPENDS "${exports}" EXPORT_NAME postern)
target_link_libraries(postern_shared PRIVATE ${targets})
target_link_options(postern_shared PRIVATE "LINKER:--version-script=${exports}" "LINKER:--exclude-libs,ALL")
if(NOT POSTERN_SANITIZE)
  target_link_options(postern_shared PRIVATE "LINKER:-z,defs" "LINKER:--gc-sections")
endif()
target_include_directories(postern_shared INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

# The static library is one object: ours and BoringSSL's linked together, all but postern_* made local, so that a program that
# links another OpenSSL statically does not clash with it either. Sections of inline functions lose their groups: the linker
# would else throw ours away for the program's, and find that the symbols left behind are local.
set(archive "${CMAKE_BINARY_DIR}/lib/libpostern.a")
set(whole "${CMAKE_CURRENT_BINARY_DIR}/postern_whole.o")
set(layer_archives "")
foreach(target IN LISTS targets)
  list(APPEND layer_archives $<TARGET_FILE:${target}>)
endforeach()
add_custom_command(
  OUTPUT "${archive}"
  COMMAND ${CMAKE_LINKER} -r --force-group-allocation -o "${whole}" --whole-archive ${layer_archives} --no-whole-archive
          $<TARGET_FILE:postern_boringssl_ssl> $<TARGET_FILE:postern_boringssl_crypto>
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=postern_* "${whole}"
  COMMAND ${CMAKE_COMMAND} -E rm -f "${archive}"
  COMMAND ${CMAKE_AR} qcs "${archive}" "${whole}"
  COMMAND ${CMAKE_COMMAND} -E rm -f "${whole}"
  DEPENDS ${targets} ${objects}
  COMMENT "Linking static library lib/libpostern.a" COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(postern_archive DEPENDS "${archive}")
# It takes seconds and only who installs wants it: a release makes it always, another build when it is asked for.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_custom_target(postern_archive_by_default ALL DEPENDS postern_archive)
endif()
install(FILES "${archive}" DESTINATION ${CMAKE_INSTALL_LIBDIR} OPTIONAL)

# What a program that links libpostern.a must link besides.
set(private_libs sqlite3 re2 icuuc gumbo unbound crypt argon2 z psl expat absl_statusor absl_status absl_cord absl_cordz_info absl_time absl_time_zone
    absl_strings stdc++ m pthread)
list(TRANSFORM private_libs PREPEND "-l" OUTPUT_VARIABLE POSTERN_PRIVATE_LIBS)
list(JOIN POSTERN_PRIVATE_LIBS " " POSTERN_PRIVATE_LIBS)

install(TARGETS postern_shared EXPORT postern LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES "${PROJECT_SOURCE_DIR}/include/postern.h" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/postern" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# The .pc files name the prefix, which is known for certain only when `cmake --install --prefix` runs.
foreach(name postern postern-static)
  configure_file("${PROJECT_SOURCE_DIR}/cmake/${name}.pc.in" "${CMAKE_CURRENT_BINARY_DIR}/${name}.pc.in" @ONLY)
  install(CODE "configure_file(\"${CMAKE_CURRENT_BINARY_DIR}/${name}.pc.in\" \"${CMAKE_CURRENT_BINARY_DIR}/${name}.pc\")")
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/${name}.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

# find_package(postern) brings postern::postern, the shared library, and postern::static where it was installed.
include(CMakePackageConfigHelpers)
install(EXPORT postern NAMESPACE postern:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/postern FILE posternTargets.cmake)
set(PACKAGE_LIB "${CMAKE_INSTALL_LIBDIR}")
set(PACKAGE_INCLUDE "${CMAKE_INSTALL_INCLUDEDIR}")
configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/posternConfig.cmake.in" "${CMAKE_BINARY_DIR}/posternConfig.cmake"
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/postern PATH_VARS PACKAGE_LIB PACKAGE_INCLUDE)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/posternConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/posternConfig.cmake" "${CMAKE_BINARY_DIR}/posternConfigVersion.cmake"
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/postern)
