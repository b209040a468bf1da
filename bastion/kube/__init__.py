"""· The words of Kubernetes: values and their wire forms.  Imports nothing of ours."""
