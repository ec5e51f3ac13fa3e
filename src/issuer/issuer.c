#include "issuer/issuer.h"
