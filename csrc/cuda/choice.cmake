# BRENIER_CUDA as AUTO, ON or OFF, whichever of CMake's words for yes and no it was given in.
function(brenier_cuda_choice given choice)
  string(STRIP "${given}" word)
  string(TOUPPER "${word}" word)
  if(word STREQUAL "" OR word STREQUAL "AUTO")  # an empty environment variable asks for nothing
    set(${choice} AUTO PARENT_SCOPE)
  elseif(word MATCHES "^(ON|1|TRUE|YES|Y)$")
    set(${choice} ON PARENT_SCOPE)
  elseif(word MATCHES "^(OFF|0|FALSE|NO|N)$")
    set(${choice} OFF PARENT_SCOPE)
  else()
    message(FATAL_ERROR "brenier: BRENIER_CUDA: expected AUTO, ON (1, TRUE, YES) or OFF (0, FALSE, NO) in any case, "
                        "got '${given}'. Set it to one of these, or unset it for AUTO.")
  endif()
endfunction()
