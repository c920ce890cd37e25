print("before")
[][1]
