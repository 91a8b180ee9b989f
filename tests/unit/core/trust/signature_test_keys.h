// Keys for the tests of signatures. They sign nothing but tests.
#pragma once

namespace postern::trust {

inline constexpr const char* kRsaPkcs1Pem =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIEowIBAAKCAQEAwjPULiyFMoxTKkLdbUxNG3WGhHbkutFr3Jt7j1DT16tCWKc7\n"
    "eWTjytbzM5HdegT0ybcehj6baCj0QvbIeJ6O99Di6JL36ZxwxT1U6HJ87VHP+7iG\n"
    "sqjmZ6H3SGlgP6DSWH30S+Gerh8UWY+7pF4JhjLghD9YO/WTzD7dPcwyw5ZlOXHk\n"
    "1WDxUDRj2I/VgBmlkLrPWOaht7birT6ZlJfD1J4HY04k3g/4FW6Z7G5NlhSBpOp3\n"
    "spTTSi2Y4SSoiVjPHautAj5Megq9UiVRxLmHGFmO0sKL535yh2YV5ZvIcnEYokj0\n"
    "seyg1blIe7Bqbqvacr9CSJyoa2NfILP2LwGi+QIDAQABAoIBABFLhVdxXpFgXt2y\n"
    "I78invFVl5u/bOJYWTdF34ylYaBg36E+j3Thr8m2N+V9VZCS1WwLc1v4QmXV098M\n"
    "1FCtqkTWpQaaZBq5dG+UZTXoUEjgUtnzloddtFtBWODphYlVHLaFzRZe6v9NxEWv\n"
    "n8HlIAsEB+uvKn/4gGedp51jzJePau+cJmbR33ZyJP1OU5IJAMiv671EIIri/zjB\n"
    "NNltGJiGS8e8OCHgwAqhzoTCApDcvoTZYIU4+RRQx7afRn5VwVjTB6MJFi8yBLfI\n"
    "JBAONmG+NFcQ0zpJp+mHlG9nGuOc1UlnJO6NOh5XNxEusQw3nVqVZsB+CCv1rAIG\n"
    "fwLS5+MCgYEA8aBN8YDw7+NcOnuNzISJtKkZ597+1jy63pINdMA6FE1ArZXh/ec8\n"
    "X8AbYSWz3Q0CMxuvxPa77ArqlmTKSsefGFUTdSnmlEr8jXM4KILZ0LGKDTibPGZO\n"
    "e//DuSD5b4utN1J5fdGR9KLX4fRPK9IKw/vnAn8KiaAy+oDd5mUAdBsCgYEAzcFQ\n"
    "bQxFzEtfgBSZmvYN65xwtASaRv6zM1Wegksf3ID8zCCKcdUJPd+QAf1sPdYwZrjH\n"
    "uEzEbbFwwaPlHkiiPWoIo03LhvVYn9vn+GiR53wq445NuIFNV3p524IBlKG9G52l\n"
    "eU1YE8wvZBlXRyACrWgCGcOG/n1ih1UYZrWXLnsCgYACQK9ZWA1m/ySl+u7ogDfU\n"
    "clsmeULA9pH7bzsm4n/oHoxC0gnoVxaOAfl/X12c6vkhRtnNqUs5OSTUwB3Osqu+\n"
    "C1UCG6DlswlFvFRCtG2Zb35M/0EbQAztRQYrHK6WpqO3x1IQpTqKIFaI6cEvNGcb\n"
    "SqbttAeCHvc6tKbc9gYaDwKBgD3Djvn9GiK2aYeQJ4AN5qXYgzh2vT0cjfyV8gwY\n"
    "swrFKZ25EvYSxkBtkNQYF9sEJelgBIv9d2WaQ0fNhCSwFwuqfcdPvg3YLm9mWt8F\n"
    "vO6pJlLCz+/X2Liuyk+rWgAdASB+FUMxhYQD4iIBPWLbaBJXy3GicS6Jwv7u+3Ex\n"
    "h51rAoGBAMPNHpTX0DKXeU85mS00ibDTjl8jL+d69rkpaqdgUJ8pQg0apDUkCemS\n"
    "awT0A2GWOM2qHK+/TuPnl/Zi6TLcuKklZA51qQYKeT8XV+LyhvDIuiMZKU6Acp1a\n"
    "+f/Y7Q2VhB2FJeOqoNweh7jLEoyy/bgEYLBszOp1/rpXA1zzWZft\n"
    "-----END RSA PRIVATE KEY-----\n";

// The same key.
inline constexpr const char* kRsaPkcs8Pem =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDCM9QuLIUyjFMq\n"
    "Qt1tTE0bdYaEduS60Wvcm3uPUNPXq0JYpzt5ZOPK1vMzkd16BPTJtx6GPptoKPRC\n"
    "9sh4no730OLokvfpnHDFPVTocnztUc/7uIayqOZnofdIaWA/oNJYffRL4Z6uHxRZ\n"
    "j7ukXgmGMuCEP1g79ZPMPt09zDLDlmU5ceTVYPFQNGPYj9WAGaWQus9Y5qG3tuKt\n"
    "PpmUl8PUngdjTiTeD/gVbpnsbk2WFIGk6neylNNKLZjhJKiJWM8dq60CPkx6Cr1S\n"
    "JVHEuYcYWY7SwovnfnKHZhXlm8hycRiiSPSx7KDVuUh7sGpuq9pyv0JInKhrY18g\n"
    "s/YvAaL5AgMBAAECggEAEUuFV3FekWBe3bIjvyKe8VWXm79s4lhZN0XfjKVhoGDf\n"
    "oT6PdOGvybY35X1VkJLVbAtzW/hCZdXT3wzUUK2qRNalBppkGrl0b5RlNehQSOBS\n"
    "2fOWh120W0FY4OmFiVUctoXNFl7q/03ERa+fweUgCwQH668qf/iAZ52nnWPMl49q\n"
    "75wmZtHfdnIk/U5TkgkAyK/rvUQgiuL/OME02W0YmIZLx7w4IeDACqHOhMICkNy+\n"
    "hNlghTj5FFDHtp9GflXBWNMHowkWLzIEt8gkEA42Yb40VxDTOkmn6YeUb2ca45zV\n"
    "SWck7o06Hlc3ES6xDDedWpVmwH4IK/WsAgZ/AtLn4wKBgQDxoE3xgPDv41w6e43M\n"
    "hIm0qRnn3v7WPLrekg10wDoUTUCtleH95zxfwBthJbPdDQIzG6/E9rvsCuqWZMpK\n"
    "x58YVRN1KeaUSvyNczgogtnQsYoNOJs8Zk57/8O5IPlvi603Unl90ZH0otfh9E8r\n"
    "0grD++cCfwqJoDL6gN3mZQB0GwKBgQDNwVBtDEXMS1+AFJma9g3rnHC0BJpG/rMz\n"
    "VZ6CSx/cgPzMIIpx1Qk935AB/Ww91jBmuMe4TMRtsXDBo+UeSKI9agijTcuG9Vif\n"
    "2+f4aJHnfCrjjk24gU1XennbggGUob0bnaV5TVgTzC9kGVdHIAKtaAIZw4b+fWKH\n"
    "VRhmtZcuewKBgAJAr1lYDWb/JKX67uiAN9RyWyZ5QsD2kftvOybif+gejELSCehX\n"
    "Fo4B+X9fXZzq+SFG2c2pSzk5JNTAHc6yq74LVQIboOWzCUW8VEK0bZlvfkz/QRtA\n"
    "DO1FBiscrpamo7fHUhClOoogVojpwS80ZxtKpu20B4Ie9zq0ptz2BhoPAoGAPcOO\n"
    "+f0aIrZph5AngA3mpdiDOHa9PRyN/JXyDBizCsUpnbkS9hLGQG2Q1BgX2wQl6WAE\n"
    "i/13ZZpDR82EJLAXC6p9x0++Ddgub2Za3wW87qkmUsLP79fYuK7KT6taAB0BIH4V\n"
    "QzGFhAPiIgE9YttoElfLcaJxLonC/u77cTGHnWsCgYEAw80elNfQMpd5TzmZLTSJ\n"
    "sNOOXyMv53r2uSlqp2BQnylCDRqkNSQJ6ZJrBPQDYZY4zaocr79O4+eX9mLpMty4\n"
    "qSVkDnWpBgp5PxdX4vKG8Mi6IxkpToBynVr5/9jtDZWEHYUl46qg3B6HuMsSjLL9\n"
    "uARgsGzM6nX+ulcDXPNZl+0=\n"
    "-----END PRIVATE KEY-----\n";

inline constexpr const char* kShortRsaPem =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIBOgIBAAJBALSt1rEuQaemkKBzFwjA0KEREa3f2SQdaA+/+cSftMnKixfXRdeI\n"
    "wDhcIJRwqEnK6S/u/w9WYZDTJm2IMLGot/MCAwEAAQJAE6mHX6jFBFWgD5X2v8Eb\n"
    "8ytEXUOrAb8hf/VIXRl0NzFgnvYQdNI0wNoo7Q/EOadRptvveg12De/isQchrx3F\n"
    "wQIhAOYfZa3kNDPePl8Es8Z9nSB9XY4/dgCQi0ijzeQ5G8k7AiEAyP8Yc88NkGfw\n"
    "UlD4IjaWMLasx7/DFcmmv79THLjkoKkCIQDBr3ttOL2XSl9EqjiFwAQX7Gxp5Y/0\n"
    "ObSBlx0cEdUJMQIgNqSraCidPmoTer2Kh/qhIEM5e+CVT+IPlEeWd9OITGkCIE9q\n"
    "/DCHyT44rr1M5w357v9Zz0kHooBS615/JcEiooAT\n"
    "-----END RSA PRIVATE KEY-----\n";

inline constexpr const char* kEd25519Pem =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIKvXJbgZoQSPqiPwK5Jrt1sfjaoY6gJFBgKA7t2rwENL\n"
    "-----END PRIVATE KEY-----\n";

inline constexpr const char* kEncryptedPem =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    "MIIFLTBXBgkqhkiG9w0BBQ0wSjApBgkqhkiG9w0BBQwwHAQI9jU9Kz7yiicCAggA\n"
    "MAwGCCqGSIb3DQIJBQAwHQYJYIZIAWUDBAEqBBC1OK5IAcbv0EqAsTN1f3A8BIIE\n"
    "0AVCc3DS2B7HvPxhFum4TArPAvptN/2a1Ho50SeE4CpfB3uCOlm3n9qz0xS3/TxO\n"
    "CcNz/87kwJn3B0A06jGDUTppBIE08bBjqjcic7tsrG8+CHwDY7Z1qV0VVohAUCyi\n"
    "BjKWcCfCI9/qIh2NVRxE9bBmfWt0ou546TfC9mGmCa6JvP/mNuX54xFwnqHfwTCd\n"
    "H39QStAbyZlcnJQO5NJpE8X2YReVg1il3VgsyYwMmUOGvro4WZp8CIqBTmlwFFs/\n"
    "aL8x2JKqjwguf+ZAHg4QcUwkNM2y9G3cnAvtsB0DDucYQDTQQPFnTWu5tnmaqupy\n"
    "7ou2WGXYyxf8UkkyEtwsv0jqr0BHJX1JtIcEP8055Bn7hnXBHGpsvtj56MLYtEUR\n"
    "STq2dqoRHpeieIEr6vm7DLHCu/iMyMymcaV+2aj0F3um2dcYmRcnOzNFaKRhm8G7\n"
    "eYvNhF724WddTKTfJZIjHoHcHmdhbAvG+tacSP0pY5dZZMRfBTp8VrhvzDk/zwS0\n"
    "XS//6BC/gMkYWh9ksUz7JzaugTtlYUi4COEM7vaKu1tvw8gHhnWU1V7L1sMHuFws\n"
    "3/sdfZq4Z9dCLano4vmEm/WGyza8hM6mYeGekSMTc1dvyyPsQh9SxBM5Ru4j5dqC\n"
    "axOFDBhi4dYdVU+MidsiH+Pjprc9LPjbLTmistfN4JS1Ag0e9EDvMZSciFYUEIOl\n"
    "VKWf8PMtfKrumHNXTal0cs4pE4o+zS6MlarTiGO/j+16TCX/mSFsL8YgKIe2Hap8\n"
    "kQCl6ptpIQuTJxiLgR3WkV+QTOrFt4XwaLYUhz3sKpDl4JqmXS2HyNJlhgRirJ52\n"
    "UD31gifxMNPWh396rvr1ZyvcG6dy1DXLZcaf1WOLGYbySyM+HdJUFpL/EtROKTp/\n"
    "XZ8AVeciKipRmw8X7TWanEbCPIMheLlmXtuZ+OThNzdv+9V6GrqtGLoVjQrUSAZJ\n"
    "Z1OMU2oo77pcOGOXmAhEzedqdF25gDeDjjL7Ui0OhPeeIBqcH4hYkdFW1soXHmRm\n"
    "ys9XoshEYvDxdtbwbSiSaPp/5Yqf8Qhg4YHKwAn7O6XOe9X3uU4EyOLpWJiLxvtf\n"
    "pMJLYd0+N+C18jJgTeTUfZyHkuMrWFBa+/CghkFvXjbpxWDwGQRzc1775Ck7S0aS\n"
    "/Pnw8ziIek+z4JIZXlMFyeeXTsWblS997dNUdb0i8ZXWZkz/LrrmWK7CHGn2YDvc\n"
    "QxicbSFDz8jRnZq+YAH0vY0OLgeS0KMaoWRFOknuo4+68Rmybv7lAqqTGoteD34n\n"
    "0+lPtjan7vz5DyLJB2lop0oRQzL1Q9ZqPu0EWeVSITIm5OeSuJ/8FwSBnBNzVdCQ\n"
    "5JrGYmQ2PHTX0UhrHFqDPHBZv7SzFwJU80U70fnU4JwaGVTKiRuK/g6LQ4SmwVBJ\n"
    "pBOLnLK9RtTFb7NxU/cP2SSI9qqART3EDj/NsIqFJjPIxK6Wxl0ET+PpN+N0XkOq\n"
    "x25oZCJdbF0nnizBgBn5wT1HoldKFz0MNi0GQ3qEPG0DLSyhFh3UFLjK0tviLe4p\n"
    "Ez3kUmEzVeKkTBDYxXUxNMekMq6jxpq9nVGjnIKpByEbh1mPGjOka7I7IhUh5CGY\n"
    "WzCDMqSXyULwRsgstbQn6EZGlMthea94/97h333BYx4f\n"
    "-----END ENCRYPTED PRIVATE KEY-----\n";

inline constexpr const char* kEcPem =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrpA2psFVKQJYIdAi\n"
    "Potx/upucb4uHJnpHeN5cF/kGwahRANCAAQOIDgVLSKDrOVKDICNaVUChexEOUa0\n"
    "zPU+z2dBC1wPEqtZ/DpmYvhaUVue3kQvEvZaO0JVdYZot9UK2L/M16rK\n"
    "-----END PRIVATE KEY-----\n";

}  // namespace postern::trust
