# Finds the ONNX Runtime headers (1.23 or newer) and sets ONNXRUNTIME_INCLUDE_DIR.
#
# In this order: -DONNXRUNTIME_INCLUDE_DIR, the system, a copy fetched into the build folder. No wheel carries them.

function(lpc_check_onnxruntime_headers dir result)
  set(${result} FALSE PARENT_SCOPE)
  if(EXISTS "${dir}/onnxruntime_c_api.h" AND EXISTS "${dir}/onnxruntime_ep_c_api.h")
    file(STRINGS "${dir}/onnxruntime_c_api.h" line REGEX "^#define ORT_API_VERSION +[0-9]+")
    string(REGEX MATCH "[0-9]+$" version "${line}")
    if(version AND version GREATER_EQUAL 23)
      set(${result} TRUE PARENT_SCOPE)
    endif()
  endif()
endfunction()

if(ONNXRUNTIME_INCLUDE_DIR)
  lpc_check_onnxruntime_headers("${ONNXRUNTIME_INCLUDE_DIR}" headers_ok)
  if(NOT headers_ok)
    message(FATAL_ERROR "ONNXRUNTIME_INCLUDE_DIR=${ONNXRUNTIME_INCLUDE_DIR}: expected onnxruntime_c_api.h and "
                        "onnxruntime_ep_c_api.h with ORT_API_VERSION >= 23 there")
  endif()
else()
  find_path(LPC_SYSTEM_ORT_INCLUDE onnxruntime_ep_c_api.h PATH_SUFFIXES onnxruntime onnxruntime/core/session)
  if(LPC_SYSTEM_ORT_INCLUDE)
    lpc_check_onnxruntime_headers("${LPC_SYSTEM_ORT_INCLUDE}" headers_ok)
  endif()
  if(headers_ok)
    set(ONNXRUNTIME_INCLUDE_DIR "${LPC_SYSTEM_ORT_INCLUDE}")
  else()
    set(fetched "${CMAKE_CURRENT_SOURCE_DIR}/../build/onnxruntime-headers")
    lpc_check_onnxruntime_headers("${fetched}" headers_ok)
    if(NOT headers_ok)
      execute_process(COMMAND "${CMAKE_CURRENT_LIST_DIR}/fetch_onnxruntime_headers.sh" "${fetched}"
                      RESULT_VARIABLE failed)
      lpc_check_onnxruntime_headers("${fetched}" headers_ok)
    endif()
    if(NOT headers_ok)
      message(FATAL_ERROR "no ONNX Runtime headers: install libonnxruntime-dev (1.23 or newer), or unpack an "
                          "onnxruntime release archive and pass -DONNXRUNTIME_INCLUDE_DIR=DIR/include")
    endif()
    set(ONNXRUNTIME_INCLUDE_DIR "${fetched}")
  endif()
endif()
message(STATUS "ONNX Runtime headers: ${ONNXRUNTIME_INCLUDE_DIR}")
