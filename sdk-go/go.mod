module github.com/longcall/longcall/sdk-go

go 1.24
