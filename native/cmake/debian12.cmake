# Compiling for LPC_WHEEL_ARCH (x86_64, aarch64) with GCC 12 against the headers and libraries of Debian 12 that
# native/wheel/fetch_sysroot.sh unpacked, on a machine of any age and of either architecture. Every folder of headers is
# named: a cross compiler looks into its own system's before those of its sysroot.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES LPC_WHEEL_ARCH)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${LPC_WHEEL_ARCH})
set(CMAKE_LIBRARY_ARCHITECTURE ${LPC_WHEEL_ARCH}-linux-gnu)
set(CMAKE_CXX_COMPILER ${CMAKE_LIBRARY_ARCHITECTURE}-g++-12)
get_filename_component(CMAKE_SYSROOT "${CMAKE_CURRENT_LIST_DIR}/../../build/sysroot/${LPC_WHEEL_ARCH}" ABSOLUTE)
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=include
  OUTPUT_VARIABLE builtin_headers OUTPUT_STRIP_TRAILING_WHITESPACE)
set(headers "${CMAKE_SYSROOT}/usr/include")
set(libraries "${CMAKE_SYSROOT}/usr/lib")
string(JOIN " " CMAKE_CXX_FLAGS_INIT -nostdinc
  -isystem \"${headers}/c++/12\" -isystem \"${headers}/${CMAKE_LIBRARY_ARCHITECTURE}/c++/12\"
  -isystem \"${builtin_headers}\"
  -isystem \"${headers}/${CMAKE_LIBRARY_ARCHITECTURE}\" -isystem \"${headers}\")
string(JOIN " " CMAKE_SHARED_LINKER_FLAGS_INIT
  \"-L${libraries}/gcc/${CMAKE_LIBRARY_ARCHITECTURE}/12\" \"-L${libraries}/${CMAKE_LIBRARY_ARCHITECTURE}\")
set(CMAKE_EXE_LINKER_FLAGS_INIT "${CMAKE_SHARED_LINKER_FLAGS_INIT}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
